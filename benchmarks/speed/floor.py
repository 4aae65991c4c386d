"""The floor: the matrix products or convolutions (and pools) alone, without any neuron."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .networks import Conv, Dense, Stateless, Workload
from .timing import timed


@dataclass
class Floor:
    """What stands before each neuron, fed with what the neurons sent, and nothing kept."""

    stretches: list[list[Stateless]]
    inputs: list[Tensor]
    """What enters each stretch, (T, B, ...)."""
    chunk: int = 1
    """How many steps go in one batch."""

    def __call__(self) -> None:
        """All steps of each stretch, chunk after chunk."""
        for layers, xs in zip(self.stretches, self.inputs, strict=True):
            for part in xs.split(self.chunk):
                x = part.flatten(0, 1)
                for layer in layers:
                    x = layer(x)


def floor(workload: Workload, channels_last: bool) -> tuple[Callable[[], None], str]:
    """The fastest of all chunk sizes, and which it is."""
    stretches = workload.network.stretches()
    inputs = workload.spikes[: len(stretches)]
    if channels_last:
        inputs = [_channels_last(xs) if xs.ndim == 5 else xs for xs in inputs]
    tried = [Floor(stretches, inputs, chunk) for chunk in _chunks(len(workload.xs))]
    best = min(tried, key=_least)
    return best, f"{best.chunk} steps in one batch"


def _channels_last(xs: Tensor) -> Tensor:
    return xs.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


def _chunks(T: int) -> list[int]:
    return [c for c in (1, 2, 3, 5, 10, 25, 50, 100, 200, 500, 1000) if c <= T]


def _least(call: Callable[[], None], repeats: int = 5) -> float:
    """The shortest of some runs: for choosing, not for reporting."""
    with torch.inference_mode():
        call()
        return min(timed(call) for _ in range(repeats))


@dataclass
class Learning:
    """What has weights, forwards and backwards, each fed with what the neurons sent before it."""

    layers: list[tuple[Conv | Dense, Tensor, Tensor]]
    """With its input and the gradient of its output, all steps in one batch."""

    def __call__(self) -> None:
        """Gradients of weights and biases, and of all inputs but the first."""
        for layer, x, g in self.layers:
            wanted = [layer.weight, layer.bias, *([x] if x.requires_grad else [])]
            torch.autograd.grad(layer(x), wanted, g)


def learning_floor(workload: Workload) -> Learning:
    """The products and convolutions of a training step."""
    draw = torch.Generator(workload.xs.device).manual_seed(0)
    found: list[tuple[Conv | Dense, Tensor, Tensor]] = []
    for layers, xs in zip(workload.network.stretches(), workload.spikes, strict=False):
        x = xs.flatten(0, 1)
        for layer in layers:
            if isinstance(layer, Conv | Dense):
                own = replace(layer, weight=_leaf(layer.weight), bias=_leaf(layer.bias))
                kind = torch.channels_last if x.ndim == 4 else torch.contiguous_format
                x = x.detach().contiguous(memory_format=kind)
                x.requires_grad_(bool(found))
                y = own(x).detach()
                g = torch.randn(y.shape, generator=draw, device=y.device)
                found.append((own, x, g.contiguous(memory_format=kind)))
                break
            x = layer(x)
    return Learning(found)


def _leaf(x: Tensor) -> Tensor:
    return x.clone().requires_grad_()
