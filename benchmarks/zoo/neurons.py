"""Which modules of a model fire, and what they sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .layouts import tensors

# The classes that the frameworks' neurons derive from, and the mark of those written here.
BASES = {"BaseNode", "SpikingNeuron", "SNNCell", "SNN", "SNNRecurrentCell", "SNNRecurrent"}
BASES |= {"StatefulLayer", "LeakyParallel", "GatedLIFNode", "PSN", "MaskedPSN", "SlidingPSN"}
BASES |= {"CobaLIFCell", "Spiking"}
# And those of them that never fire: with an answer of zeros they would seem to be silent.
READOUTS = {"LICell", "LI", "LIBoxCell", "ExpLeak", "ExpLeakSqueeze"}


class Spiking(nn.Module):
    """The mark of a neuron that is written by hand."""


def neurons(model: nn.Module) -> dict[str, nn.Module]:
    """The neurons by module path, and no neuron within another."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") or not outer for outer in found)
        kinds = {kind.__name__ for kind in type(module).__mro__}
        if not inside and kinds & BASES and not kinds & READOUTS:
            found[name] = module
    return found


@contextmanager
def watching(
    modules: dict[str, nn.Module], see: Callable[[str, nn.Module, Any, Any], None]
) -> Iterator[None]:
    """While this lasts, ``see(name, module, inputs, output)`` follows every call."""
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: see(name, m, i, o))
        for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def sent(model: nn.Module, run: Callable[[], object]) -> dict[str, Tensor]:
    """What every neuron sent during a run: of one call as it was, of several stacked."""
    calls: dict[str, list[Tensor]] = {}

    def see(name: str, _: nn.Module, __: Any, output: Any) -> None:
        first = next(tensors(output), None)
        if first is not None:
            calls.setdefault(name, []).append(first.detach().clone())

    with watching(neurons(model), see):
        run()
    found = {}
    for name, parts in calls.items():
        if len(parts) == 1:
            found[name] = parts[0]
        elif len({part.shape for part in parts}) == 1:
            found[name] = torch.stack(parts)
    return found


def is_spikes(y: Tensor) -> bool:
    """Whether these are numbers of spikes: whole, and not negative."""
    return bool(((y == y.round()) & (y >= 0)).all())
