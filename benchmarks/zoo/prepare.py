"""Weights with which every layer speaks: as after training, and unlike after initialisation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .entry import Entry
from .layouts import tensors
from .neurons import is_spikes, neurons, watching

LOW, HIGH = 0.01, 0.6
ROUNDS = 16
OUT_OF_REACH = 1000.0

LAYER = ("weight", "bias")
CELL = ("input_weights", "weight_ih", "bias_ih", "weight_ih_l0", "bias_ih_l0")


def prepare(entry: Entry, model: nn.Module) -> dict[str, float]:
    """Warms BatchNorm up, scales weights until every neuron layer fires in 1-60 % of its steps.

    What is scaled is the layer that ran last before the neurons, weight and bias, or the weights
    within them; and the threshold of neurons that come behind other neurons, with sums and products
    between. All in the same rounds, a little each, because a rate hangs on those before it.

    Returns:
        The share of steps with a spike, by the neurons' module path.
    """
    rates: dict[str, float] = {}
    momenta = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    xs = entry.input(entry.steps, max(entry.batch, entry.fresh[1]), seed=1)
    # The statistics of a batch keep a deep network awake until its rates have settled.
    warming = bool(momenta)
    for round_ in range(ROUNDS + 1):
        _normalise(model, batch=warming)
        rates, before = _measure(entry, model, xs)
        wrong = {name for name, rate in rates.items() if not 2 * LOW < rate < 0.8 * HIGH}
        if not (wrong or warming) or round_ == ROUNDS:
            break
        warming = warming and bool(wrong) and round_ < ROUNDS // 2
        fires, taken = neurons(model), set[int]()
        order = list(rates)
        for place, (name, rate) in enumerate(rates.items()):
            layer = before.get(name)
            second = layer is None or id(layer) in taken
            taken.add(id(layer))
            if name not in wrong:
                continue
            if second:
                _lower_threshold(fires[name], _factor(rate, round_))
                if rate <= 2 * LOW:
                    # Products of queries, keys and values are rare where these are.
                    for fed in order[max(0, place - 3) : place]:
                        if fed in before and rates[fed] < HIGH / 2:
                            _scale(before[fed], 1.3)
            elif layer is not None:
                _scale(layer, _factor(rate, round_))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.eval()
    entry.rest(model)
    return rates


def _factor(rate: float, round_: int) -> float:
    """Smaller steps later on, so that layers that feed each other come to rest."""
    strength = 1 / (1 + round_ / 4)
    if rate <= 2 * LOW:
        return 1 + (2.0 if rate < LOW / 10 else 0.5) * strength
    return 1 / (1 + (1.0 if rate > 0.9 else 0.4) * strength)


def _normalise(model: nn.Module, batch: bool) -> None:
    """Lets BatchNorm gather the statistics of what follows, or use those that it has."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.train(batch)
            if batch:
                module.momentum = None
                module.reset_running_stats()


def _measure(
    entry: Entry, model: nn.Module, xs: Tensor
) -> tuple[dict[str, float], dict[str, nn.Module]]:
    """How often the neurons fire, and the layer that ran last before each."""
    fires = neurons(model)
    within = {id(part) for module in fires.values() for part in module.modules()}
    layers = {
        name: module
        for name, module in model.named_modules()
        if id(module) not in within and _weights(module)
    }
    spikes: dict[str, float] = {}
    steps: dict[str, int] = {}
    before: dict[str, nn.Module] = {}
    latest: list[nn.Module] = []

    def see(name: str, module: nn.Module, _: Any, output: Any) -> None:
        if name not in fires:
            latest[:] = [module]
            return
        y = next(tensors(output), None)
        # What integrates and never fires has no rate.
        if y is None or not is_spikes(y) or not _can_fire(module):
            return
        if _weights(module):
            before[name] = module
        elif latest and name not in spikes:
            # Later on, the last layer may be one of the step before.
            before[name] = latest[0]
        spikes[name] = spikes.get(name, 0.0) + float((y != 0).sum())
        steps[name] = steps.get(name, 0) + y.numel()

    with watching(layers | fires, see):
        entry.run(model, xs)
    return {name: spikes[name] / steps[name] for name in spikes}, before


def _can_fire(module: nn.Module) -> bool:
    """Whether the threshold is within reach: out of it, a membrane is what is read."""
    return all(
        bool((torch.as_tensor(getattr(module, name)) < OUT_OF_REACH).all())
        for name in ("threshold", "v_threshold")
        if isinstance(getattr(module, name, None), float | Tensor)
    )


def _weights(module: nn.Module) -> list[nn.Parameter]:
    """The weights of a layer; those that a cell's input passes, not those of its recurrence."""
    # What a standardised weight is multiplied by, where there is one: its own size does nothing.
    layer = ("gain", "bias") if isinstance(getattr(module, "gain", None), Tensor) else LAYER
    own = [p for name, p in module.named_parameters(recurse=False) if name in layer]
    return own + [p for name, p in module.named_parameters() if name.split(".")[-1] in CELL]


def _lower_threshold(module: nn.Module, factor: float) -> None:
    for name in ("v_threshold", "v_th", "thresh"):
        if isinstance(own := getattr(module, name, None), float):
            setattr(module, name, own / factor)


def _scale(module: nn.Module, factor: float) -> None:
    with torch.no_grad():
        for parameter in _weights(module):
            parameter.mul_(factor)
