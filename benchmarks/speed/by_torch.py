"""Plain torch: what stands between neurons takes all steps in one batch, a LIF is a loop."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .model import Model, conv, linear
from .networks import BETA, Conv, Dense, Flatten, Lif, Network, Norm


class Plain(Model):
    """What a user who knows torch writes by hand."""

    def __init__(self, network: Network):
        super().__init__()
        self.layers = nn.ModuleList(_layer(layer) for layer in network.layers)

    def forward(self, xs: Tensor) -> Tensor:
        """Layer after layer."""
        for layer in self.layers:
            if isinstance(layer, PlainLif):
                xs = layer(xs)
            else:
                xs = layer(xs.flatten(0, 1)).unflatten(0, xs.shape[:2])
        return xs

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Layer after layer, one step."""
        after = []
        for k, layer in enumerate(self.layers):
            own = None
            if isinstance(layer, PlainLif):
                v = torch.zeros_like(x) if state is None else state[k]
                x, own = layer.step(x, v)
            else:
                x = layer(x)
            after.append(own)
        return x, after


class PlainLif(nn.Module):
    """The LIF as its definition reads."""

    def __init__(self, lif: Lif):
        super().__init__()
        self.threshold = lif.threshold
        self.feedback = None if lif.feedback is None else nn.Parameter(lif.feedback.clone())

    def step(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The spikes and the membrane after one step."""
        u = BETA * v + x
        if torch.is_grad_enabled():
            s = _Spike.apply(u - self.threshold)
        else:
            s = (u >= self.threshold).to(u.dtype)
        return s, u * (1 - s.detach())

    def forward(self, xs: Tensor) -> Tensor:
        """All steps."""
        v = torch.zeros_like(xs[0])
        s, sent = torch.zeros_like(v), []
        for x in xs.unbind():
            if self.feedback is not None:
                x = x + F.linear(s, self.feedback)
            s, v = self.step(x, v)
            sent.append(s)
        return torch.stack(sent)


class _Spike(torch.autograd.Function):
    """The arctangent surrogate, alpha = 2."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        return grad / (1 + (math.pi * distance).square())


def _layer(layer: Any) -> nn.Module:
    match layer:
        case Dense(weight, bias):
            return linear(weight, bias)
        case Conv(weight, bias):
            return conv(weight, bias)
        case Norm(weight, bias):
            norm = nn.BatchNorm2d(len(weight))
            with torch.no_grad():
                norm.weight.copy_(weight)
                norm.bias.copy_(bias)
            return norm
        case Lif():
            return PlainLif(layer)
        case Flatten():
            return nn.Flatten()
        case _:
            return nn.MaxPool2d(2)
