"""snnTorch: the loop over time of its tutorials."""

from __future__ import annotations

from typing import Any, ClassVar

import snntorch
from torch import Tensor, nn

from .model import Stepped, conv, linear
from .networks import BETA, Conv, Dense, Flatten, Lif, Network


class SnnTorch(Stepped):
    """Leaky and RLeaky with an immediate reset to zero: what t1c's LIF does."""

    OPTIONS: ClassVar[dict[str, Any]] = {"reset_mechanism": "zero", "reset_delay": False}

    def __init__(self, network: Network):
        super().__init__()
        self.layers = nn.ModuleList(self._layer(layer) for layer in network.layers)

    def _layer(self, layer: Any) -> nn.Module:
        match layer:
            case Dense(weight, bias):
                return linear(weight, bias)
            case Conv(weight, bias):
                return conv(weight, bias)
            case Lif(_, threshold, None):
                return snntorch.Leaky(BETA, threshold=threshold, **self.OPTIONS)
            case Lif(shape, threshold, feedback):
                neuron = snntorch.RLeaky(
                    BETA, linear_features=shape[0], threshold=threshold, **self.OPTIONS
                )
                neuron.recurrent = linear(feedback, None)
                return neuron
            case Flatten():
                return nn.Flatten()
            case _:
                return nn.MaxPool2d(2)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Each layer in turn; a neuron gives back its spikes and what it is to get again."""
        after = []
        for k, layer in enumerate(self.layers):
            if isinstance(layer, snntorch.RLeaky):
                spikes, membrane = layer(x, *(layer.reset_mem() if state is None else state[k]))
                x, own = spikes, (spikes, membrane)
            elif isinstance(layer, snntorch.Leaky):
                own = layer(x, layer.reset_mem() if state is None else state[k])
                x, own = own
            else:
                x, own = layer(x), None
            after.append(own)
        return x, after


class SnnTorchDefault(SnnTorch):
    """The same with its default reset (subtract, one step late), which costs it less."""

    OPTIONS: ClassVar[dict[str, Any]] = {}
