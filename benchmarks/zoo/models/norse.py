"""Norse's modules, and the networks of ``norse.task`` and ``norse.torch.models``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import norse.torch as norse
import torch
from norse.task.speech_commands import model as speech
from norse.torch.functional.correlation_sensor import correlation_based_update
from norse.torch.functional.izhikevich import tonic_spiking
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.models import conv, mobilenet, vgg
from norse.torch.module.encode import (
    ConstantCurrentLIFEncoder,
    PoissonEncoder,
    PopulationEncoder,
    SpikeLatencyEncoder,
    SpikeLatencyLIFEncoder,
)
from norse.torch.module.exp_filter import ExpFilter
from norse.torch.module.lif_adex_refrac import (
    LIFAdExRefracCell,
    LIFAdExRefracRecurrent,
    LIFAdExRefracRecurrentCell,
)
from norse.torch.module.lif_correlation import LIFCorrelation
from norse.torch.module.lif_mc import LIFMCRecurrentCell
from norse.torch.module.lif_mc_refrac import LIFMCRefracRecurrentCell
from norse.torch.module.receptive_field import TemporalReceptiveField
from torch import Tensor, nn

from ..entry import Entry, current, events, fixed, image
from ..layouts import IMAGE, SEQUENCE, SEQUENCE_WITH_STATE, STEP_WITH_STATE, Layout

NOISE = "draws random numbers in forward"
LARGEST = "its scale is the largest number of the whole batch"
SPIKE_BY_SPIKE = "reads spikes one by one into NumPy, and sorts out the first of each neuron there"
DEAF = "its input never reaches its spikes: what it adds to the conductances is overwritten"
LEARNS = "its weights change while it runs"

STEPS = {"steps": 8, "fresh": (9, 3)}
FEATURES, HIDDEN = 12, 24


def _task(name: str) -> Any:
    """A module of ``norse.task``; two of them import from where Norse kept its classes once."""
    for moved in ("LIFCell", "LICell", "SequentialState"):
        setattr(norse.module, moved, getattr(norse, moved))
    # Draws.
    importlib.import_module("norse.torch.utils.plot").plot_spikes_2d = None
    return importlib.import_module(f"norse.task.{name}")


def _nothing(_: nn.Module) -> None:
    """Norse keeps states outside of its modules."""


_entry = partial(Entry, "Norse", rest=_nothing)


def _cell(cell: Callable[..., nn.Module], *sizes: int, **options: Any) -> nn.Module:
    """A layer before a cell, and a leaky readout behind it."""
    return norse.SequentialState(
        nn.Linear(FEATURES, HIDDEN), cell(*sizes, **options), nn.Linear(HIDDEN, 5), norse.LICell()
    )


def _sequence(neuron: Callable[..., nn.Module], *sizes: int, **options: Any) -> nn.Module:
    """The same for modules that take all steps at once."""
    return norse.SequentialState(
        nn.Linear(FEATURES, HIDDEN), neuron(*sizes, **options), nn.Linear(HIDDEN, 5), norse.LI()
    )


IZHIKEVICH = {"spiking_method": tonic_spiking}
CELLS: dict[str, Any] = {
    "LIFCell": norse.LIFCell,
    "LIFBoxCell": norse.LIFBoxCell,
    "LIFAdExCell": norse.LIFAdExCell,
    "LIFAdExRefracCell": LIFAdExRefracCell,
    "LIFExCell": norse.LIFExCell,
    "LIFRefracCell": norse.LIFRefracCell,
    "LSNNCell": norse.LSNNCell,
    "IAFCell": norse.IAFCell,
    "IzhikevichCell": partial(norse.IzhikevichCell, **IZHIKEVICH),
    "LIBoxCell": norse.LIBoxCell,
}
RECURRENT_CELLS: dict[str, Any] = {
    "LIFRecurrentCell": norse.LIFRecurrentCell,
    "LIFAdExRecurrentCell": norse.LIFAdExRecurrentCell,
    "LIFAdExRefracRecurrentCell": LIFAdExRefracRecurrentCell,
    "LIFExRecurrentCell": norse.LIFExRecurrentCell,
    "LIFRefracRecurrentCell": norse.LIFRefracRecurrentCell,
    "LIFMCRecurrentCell": LIFMCRecurrentCell,
    "LIFMCRefracRecurrentCell": LIFMCRefracRecurrentCell,
    "LSNNRecurrentCell": norse.LSNNRecurrentCell,
    "IzhikevichRecurrentCell": partial(norse.IzhikevichRecurrentCell, **IZHIKEVICH),
    "CobaLIFCell": norse.CobaLIFCell,
    "LILinearCell": norse.LILinearCell,
}
SEQUENCES: dict[str, Any] = {
    "LIF": norse.LIF,
    "LIFAdEx": norse.LIFAdEx,
    "LIFEx": norse.LIFEx,
    "LSNN": norse.LSNN,
    "IAF": norse.IAF,
    "Izhikevich": partial(norse.Izhikevich, **IZHIKEVICH),
}
RECURRENT_SEQUENCES: dict[str, Any] = {
    "LIFRecurrent": norse.LIFRecurrent,
    "LIFAdExRecurrent": norse.LIFAdExRecurrent,
    "LIFAdExRefracRecurrent": LIFAdExRefracRecurrent,
    "LIFExRecurrent": norse.LIFExRecurrent,
    "LIFRefracRecurrent": norse.LIFRefracRecurrent,
    "LSNNRecurrent": norse.LSNNRecurrent,
    "IzhikevichRecurrent": partial(norse.IzhikevichRecurrent, **IZHIKEVICH),
}


def _modules() -> list[Entry]:
    found = []
    step = partial(_entry, shape=(FEATURES,), layout=STEP_WITH_STATE, draw=current, **STEPS)
    whole = partial(_entry, shape=(FEATURES,), layout=SEQUENCE_WITH_STATE, draw=current, **STEPS)
    for name, kind in CELLS.items():
        found.append(step(name, partial(_cell, kind)))
    for name, kind in RECURRENT_CELLS.items():
        refusal = DEAF if kind is norse.CobaLIFCell else ""
        found.append(step(name, partial(_cell, kind, HIDDEN, HIDDEN), refusal=refusal))
    for name, kind in SEQUENCES.items():
        found.append(whole(name, partial(_sequence, kind)))
    for name, kind in RECURRENT_SEQUENCES.items():
        found.append(whole(name, partial(_sequence, kind, HIDDEN, HIDDEN)))
    return found


def _lifted() -> nn.Module:
    return norse.SequentialState(
        norse.Lift(nn.Conv2d(2, 8, 3, padding=1)),
        norse.LIF(),
        norse.Lift(nn.MaxPool2d(2)),
        nn.Flatten(2),
        nn.Linear(8 * 8 * 8, 10),
        norse.LI(),
    )


def _receptive() -> nn.Module:
    return TemporalReceptiveField((2, 8, 8), n_scales=3, activation_state_map=_box)


def _box(taus: Tensor) -> LIBoxParameters:
    return LIBoxParameters(tau_mem_inv=taus)


class Encoded(nn.Module):
    """An encoder and a layer of neurons behind it."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.fc, self.lif = encoder, nn.Linear(FEATURES, 10), norse.LIF()

    def forward(self, x: Tensor) -> Tensor:
        return self.lif(self.fc(self.encoder(x)))[0]


def _population() -> nn.Module:
    return nn.Sequential(PopulationEncoder(6), nn.Flatten(), nn.Linear(6 * FEATURES, 10))


def _encoders() -> list[Entry]:
    still = partial(_entry, shape=(FEATURES,), layout=IMAGE, draw=image, **fixed(8))
    makers: dict[str, Any] = {
        "ConstantCurrentLIFEncoder": ConstantCurrentLIFEncoder,
        "SpikeLatencyLIFEncoder": SpikeLatencyLIFEncoder,
    }

    def bright(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        # An encoder's neurons see the input itself: it has to reach their threshold.
        return 20 * image(shape, generator)

    found = [still(name, partial(_encoded, make), draw=bright) for name, make in makers.items()]
    found.append(still("PoissonEncoder", partial(_encoded, PoissonEncoder), refusal=NOISE))
    found.append(still("PopulationEncoder", _population, refusal=LARGEST))
    return found


def _encoded(make: Callable[..., nn.Module]) -> nn.Module:
    return Encoded(make(seq_length=8))


def _latency() -> nn.Module:
    return nn.Sequential(SpikeLatencyEncoder(), nn.Linear(FEATURES, 10))


class Correlated(nn.Module):
    """The loop of ``norse.task.correlation_experiment``: plasticity between the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lif, self.out = LIFCorrelation(FEATURES, 8), norse.LILinearCell(8, 2)
        self.input_weights = nn.Parameter(torch.randn(8, FEATURES))
        self.recurrent_weights = nn.Parameter(torch.randn(8, 8))
        self.update = nn.Linear(2 * FEATURES * 8, FEATURES * 8)

    def forward(self, x: Tensor) -> Tensor:
        inputs, s1, so, voltages = self.input_weights, None, None, []
        for ts, x_t in enumerate(x):
            z, s1 = self.lif(x_t, inputs, self.recurrent_weights, s1)
            seen = s1.input_correlation_state
            inputs = correlation_based_update(ts, self.update, inputs, seen, 0.01, 2)
            v, so = self.out(z, so)
            voltages.append(v)
        return torch.stack(voltages)


MEMORY = Layout(
    lambda xs: xs.transpose(0, 1),
    lambda model, xs: [
        spikes_or_readouts.flatten(0, spikes_or_readouts.ndim - 3)
        for spikes_or_readouts in model(xs.transpose(0, 1))[:2]
    ],
)
"""Batch first; the readouts come back cut into stretches of time, the spikes in one piece."""


def _memory(kind: str) -> nn.Module:
    arguments = SimpleNamespace(
        seq_length=8,
        seq_repetitions=1,
        optimizer="adam",
        learning_rate=1e-3,
        regularization_factor=1e-3,
        regularization_target=10.0,
        model="super",
        dt=0.001,
        neuron_model=kind,
    )
    return _task("memory").MemoryNet(FEATURES, 4, arguments)


def _cifar() -> nn.Module:
    p = norse.LIFParameters(v_th=torch.as_tensor(0.4))
    return _task("cifar10").LIFConvNet(8, 3, 2e-3, "adam", p)


def _digits(**options: bool) -> nn.Module:
    return _task("mnist").LIFConvNet(784, seq_length=12, input_scale=20.0, **options)


def _policy(name: str) -> nn.Module:
    return getattr(_task("cartpole"), name)()


def _tasks() -> list[Entry]:
    digit, speech_shape = (1, 28, 28), (80,)
    long = {"steps": 12, "fresh": (14, 3)}
    whole = partial(_entry, layout=SEQUENCE, draw=events, **long)
    pole = partial(_entry, shape=(4,), layout=IMAGE, draw=current, **fixed(40))
    recall = partial(_entry, shape=(FEATURES,), layout=MEMORY, draw=events, **fixed(8))
    return [
        whole("models.conv.ConvNet", conv.ConvNet, digit),
        whole("models.conv.ConvNet4", conv.ConvNet4, digit),
        _entry("task.mnist.LIFConvNet", _digits, digit, IMAGE, **fixed(12)),
        _entry(
            "task.mnist.LIFConvNet, first spikes",
            partial(_digits, only_first_spike=True),
            digit,
            IMAGE,
            **fixed(12),
            refusal=SPIKE_BY_SPIKE,
        ),
        _entry("task.cifar10.LIFConvNet", _cifar, (3, 32, 32), IMAGE, **fixed(8), refusal=NOISE),
        *(recall(f"task.memory, {kind}", partial(_memory, kind)) for kind in MEMORIES),
        *(pole(f"task.cartpole.{n}", partial(_policy, n)) for n in ("Policy", "LSNNPolicy")),
        whole("task.speech_commands, LIF", speech.lif_model, speech_shape),
        whole("task.speech_commands, LSNN", speech.lsnn_model, speech_shape),
        _entry(
            "task.correlation_experiment",
            Correlated,
            (FEATURES,),
            SEQUENCE,
            events,
            steps=12,
            batch=1,
            fresh=(14, 1),
            refusal=LEARNS,
        ),
    ]


MEMORIES = ("lsnn", "lsnnlif", "lif")


def _others() -> list[Entry]:
    lines = partial(_entry, shape=(FEATURES,), layout=SEQUENCE, draw=current, **STEPS)
    return [
        _entry("Lift", _lifted, (2, 16, 16), SEQUENCE_WITH_STATE, events, **STEPS),
        lines("ExpFilter", partial(ExpFilter, FEATURES, 5, tau_filter_inv=200.0)),
        _entry("TemporalReceptiveField", _receptive, (2, 8, 8), STEP_WITH_STATE, events, **STEPS),
        lines("SpikeLatencyEncoder", _latency, draw=events),
        _entry("models.vgg11", partial(vgg.vgg11, num_classes=10), (3, 32, 32), SEQUENCE, **STEPS),
        _entry(
            "models.mobilenet_v2",
            partial(mobilenet.mobilenet_v2, num_classes=10),
            (3, 32, 32),
            SEQUENCE,
            **STEPS,
        ),
    ]


ENTRIES = [*_modules(), *_encoders(), *_others(), *_tasks()]
