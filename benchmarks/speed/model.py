"""What every framework's network looks like to the measurements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class Model(nn.Module, ABC):
    """A network that starts at rest at each call, made by a framework from a `Network`."""

    @abstractmethod
    def forward(self, xs: Tensor) -> Tensor:
        """The output spikes (T, B, n) of a whole sequence (T, B, *shape)."""

    @abstractmethod
    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step from a state; None is rest."""


class Stepped(Model):
    """A network whose framework knows single steps only: the user writes the loop."""

    def forward(self, xs: Tensor) -> Tensor:
        """Step after step."""
        sent, state = [], None
        for x in xs:
            y, state = self.step(x, state)
            sent.append(y)
        return torch.stack(sent)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """`nn.Linear` with these weights, as a parameter of its own."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return _filled(layer, weight, bias)


def conv(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """`nn.Conv2d` with these weights, as a parameter of its own."""
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=1)
    return _filled(layer, weight, bias)


def _filled(layer: Any, weight: Tensor, bias: Tensor | None) -> Any:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
