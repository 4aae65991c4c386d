"""Norse: SequentialState over single steps, or its recurrent layer over sequences."""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import torch
from torch import Tensor, nn

from .model import Model, Stepped, conv, linear
from .networks import TAU, Conv, Dense, Flatten, Lif, Network

DT = 0.001


class Norse(Stepped):
    """LIFBoxCell: `v += (x - v)/tau`, so its threshold is ours divided by tau."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = norse.SequentialState(*(_layer(layer) for layer in network.layers))

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One call."""
        return self.network(x, state)


class NorseRecurrent(Model):
    """LIFRecurrent with a synapse that forgets within a step; the rest as in `Norse`."""

    def __init__(self, network: Network):
        super().__init__()
        first, hidden, second, last = network.layers
        parameters = norse.LIFParameters(
            tau_syn_inv=torch.tensor(1 / DT),
            tau_mem_inv=torch.tensor(1 / (TAU * DT)),
            v_th=torch.tensor(hidden.threshold / TAU),
        )
        n_out, n_in = first.weight.shape
        self.hidden = norse.LIFRecurrent(n_in, n_out, parameters, dt=DT, autapses=True)
        with torch.no_grad():
            self.hidden.input_weights.copy_(first.weight)
            self.hidden.recurrent_weights.copy_(hidden.feedback)
        self.second = linear(second.weight, second.bias)
        self.last = norse.LIFBoxCell(_parameters(last), dt=DT)

    def forward(self, xs: Tensor) -> Tensor:
        """One call, one batched Linear, and a loop over the output neurons."""
        spikes, _ = self.hidden(xs)
        sent, state = [], None
        for x in self.second(spikes):
            y, state = self.last(x, state)
            sent.append(y)
        return torch.stack(sent)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Not measured."""
        raise NotImplementedError


def _layer(layer: Any) -> nn.Module:
    match layer:
        case Dense(weight, bias):
            return linear(weight, bias)
        case Conv(weight, bias):
            return conv(weight, bias)
        case Lif():
            return norse.LIFBoxCell(_parameters(layer), dt=DT)
        case Flatten():
            return nn.Flatten()
        case _:
            return nn.MaxPool2d(2)


def _parameters(lif: Lif) -> Any:
    return norse.LIFBoxParameters(
        tau_mem_inv=torch.tensor(1 / (TAU * DT)), v_th=torch.tensor(lif.threshold / TAU)
    )
