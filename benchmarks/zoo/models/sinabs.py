"""Ordinary networks turned into spiking ones by sinabs, and its layers by themselves."""

from __future__ import annotations

from functools import partial
from typing import Any

import sinabs.layers as sl
import torch
from sinabs.activation import MembraneReset, SingleSpike
from sinabs.from_torch import from_model
from sinabs.network import Network
from torch import Tensor, nn

from ..entry import Entry, current, events
from ..layouts import BATCH_FIRST, MERGED

STEPS, BATCH = 6, 2


def _rest(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, sl.StatefulLayer):
            module.reset_states()
        # What it has counted so far is of so many samples.
        if isinstance(module, Network) and module.synops:
            module.synops_counter.reset()


def mlp() -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
    )


def cnn() -> nn.Module:
    """The network of sinabs's first tutorial."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 32, bias=False),
        nn.ReLU(),
        nn.Linear(32, 10, bias=False),
    )


def padded() -> nn.Module:
    """Strides, padding, groups, dilation, dropout, the last layer spiking."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Dropout2d(0.2),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
        nn.ReLU(),
    )


def normalised() -> nn.Module:
    """BatchNorm after each convolution."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        sl.SumPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


class Residual(nn.Module):
    """A block around which the input passes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(2, 8, 3, padding=1), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        self.pool, self.flatten, self.fc = nn.AvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.conv2(x) + x)
        return self.fc(self.flatten(self.pool(x)))


def _network(ann: type[nn.Module], **options: Any) -> nn.Module:
    return from_model(ann().eval(), num_timesteps=STEPS, **options).spiking_model


def _whole_network(**options: Any) -> nn.Module:
    """The Network object, which holds the analogue model too."""
    return from_model(cnn().eval(), input_shape=(1, 16, 16), num_timesteps=STEPS, **options)


def _batched() -> nn.Module:
    return from_model(cnn().eval(), batch_size=BATCH).spiking_model


def _layers(*neurons: nn.Module) -> nn.Module:
    first, second = neurons
    return nn.Sequential(nn.Linear(20, 32), first, nn.Linear(32, 10), second)


def _recurrent(make: Any, **options: Any) -> nn.Module:
    connect = nn.Sequential(nn.Flatten(), nn.Linear(32, 32, bias=False))
    return nn.Sequential(nn.Linear(20, 32), make(rec_connect=connect, **options), nn.Linear(32, 5))


_entry = partial(Entry, "sinabs", rest=_rest, draw=events)
_merged = partial(_entry, layout=MERGED, steps=STEPS, fresh=(STEPS, 4))
_line = partial(_entry, shape=(20,), layout=BATCH_FIRST, steps=6, fresh=(7, 3), draw=current)
ONE, TWO = (1, 16, 16), (2, 16, 16)

LAYERS = {
    "IAF, several spikes": lambda: _layers(sl.IAF(), sl.IAF()),
    "IAF, single spikes": lambda: _layers(sl.IAF(spike_fn=SingleSpike), sl.IAF()),
    "LIF": lambda: _layers(sl.LIF(tau_mem=10.0), sl.LIF(tau_mem=5.0)),
    "LIF, input not normalised": lambda: _layers(
        sl.LIF(tau_mem=10.0, norm_input=False), sl.LIF(tau_mem=5.0, norm_input=False)
    ),
    "LIF, single spikes, reset to zero": lambda: _layers(
        sl.LIF(tau_mem=8.0, spike_fn=SingleSpike, reset_fn=MembraneReset()), sl.LIF(tau_mem=8.0)
    ),
    "LIF with a synapse": lambda: _layers(
        sl.LIF(tau_mem=10.0, tau_syn=5.0), sl.LIF(tau_mem=torch.rand(10) * 10 + 2, tau_syn=3.0)
    ),
    "LIF, membrane held from below": lambda: _layers(
        sl.LIF(tau_mem=10.0, min_v_mem=-0.5), sl.LIF(tau_mem=10.0, min_v_mem=0.0)
    ),
    "ALIF": lambda: _layers(
        sl.ALIF(tau_mem=10.0, tau_adapt=20.0), sl.ALIF(tau_mem=10.0, tau_adapt=20.0)
    ),
    "ExpLeak as readout": lambda: _layers(sl.LIF(tau_mem=10.0), sl.ExpLeak(tau_mem=10.0)),
    "LIFRecurrent": lambda: _recurrent(sl.LIFRecurrent, tau_mem=10.0),
    "IAFRecurrent": lambda: _recurrent(sl.IAFRecurrent),
    "ALIFRecurrent": lambda: _recurrent(sl.ALIFRecurrent, tau_mem=10.0, tau_adapt=20.0),
}

ENTRIES = [
    _merged("from_model, MLP", partial(_network, mlp), ONE),
    _merged("from_model, CNN", partial(_network, cnn), ONE),
    _merged("from_model, CNN, threshold 0.5", partial(_network, cnn, spike_threshold=0.5), ONE),
    _merged("from_model, CNN, no lower bound", partial(_network, cnn, min_v_mem=None), ONE),
    _merged("from_model, CNN, single spikes", partial(_network, cnn, spike_fn=SingleSpike), ONE),
    _merged(
        "from_model, CNN, single spikes, reset to zero",
        partial(_network, cnn, spike_fn=SingleSpike, reset_fn=MembraneReset()),
        ONE,
    ),
    _merged(
        "from_model, CNN, spikes at the end", partial(_network, cnn, add_spiking_output=True), ONE
    ),
    _merged("from_model, padding, groups, dilation", partial(_network, padded), TWO),
    _merged("from_model, BatchNorm", partial(_network, normalised), TWO),
    _merged("from_model, a residual block", partial(_network, Residual), TWO),
    _merged("from_model, the Network itself", _whole_network, ONE),
    _merged("from_model, Network counting operations", partial(_whole_network, synops=True), ONE),
    _entry("from_model, batch_size", _batched, ONE, MERGED, steps=4, fresh=(5, BATCH)),
    *(_line(name, make) for name, make in LAYERS.items()),
]
