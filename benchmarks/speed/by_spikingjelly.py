"""SpikingJelly: whole sequences with step_mode 'm' and the torch backend, or single steps."""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from .model import Model, conv, linear
from .networks import TAU, Conv, Dense, Flatten, Lif, Network, Norm


class SpikingJelly(Model):
    """LIFNode without input decay, reset to 0 and detached there: what t1c's LIF does."""

    MODE = "m"

    def __init__(self, network: Network):
        super().__init__()
        self.network = nn.Sequential(*(self._layer(part) for part in network.layers))
        functional.set_step_mode(self.network, self.MODE)

    def _layer(self, part: Any) -> nn.Module:
        match part:
            case Dense(weight, bias):
                made = layer.Linear(weight.shape[1], weight.shape[0])
                made.load_state_dict(linear(weight, bias).state_dict())
                return made
            case Conv(weight, bias):
                made = layer.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
                made.load_state_dict(conv(weight, bias).state_dict())
                return made
            case Norm(weight, bias):
                norm = layer.BatchNorm2d(len(weight))
                with torch.no_grad():
                    norm.weight.copy_(weight)
                    norm.bias.copy_(bias)
                return norm
            case Lif(shape, threshold, feedback):
                node = neuron.LIFNode(
                    TAU,
                    decay_input=False,
                    v_threshold=threshold,
                    v_reset=0.0,
                    surrogate_function=surrogate.ATan(alpha=2.0),
                    detach_reset=True,
                )
                return node if feedback is None else _looped(node, shape[0], feedback)
            case Flatten():
                return layer.Flatten()
            case _:
                return layer.MaxPool2d(2)

    def forward(self, xs: Tensor) -> Tensor:
        """All steps in one call."""
        functional.reset_net(self.network)
        return self.network(xs)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One call; the state stays inside."""
        if state is None:
            functional.reset_net(self.network)
        return self.network(x), "inside"


class SpikingJellySingle(SpikingJelly):
    """The same with step_mode 's'."""

    MODE = "s"


def _looped(node: nn.Module, size: int, feedback: Tensor) -> nn.Module:
    """Its container runs [x, y] through one Linear, here the identity beside the feedback."""
    made = layer.LinearRecurrentContainer(node, size, size, bias=False)
    with torch.no_grad():
        made.rc.weight.copy_(torch.cat([torch.eye(size), feedback], 1))
    return made
