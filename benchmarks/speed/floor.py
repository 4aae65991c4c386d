"""The floor: the matrix products or convolutions (and pools) alone, without any neuron."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .networks import Stateless, Workload
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
