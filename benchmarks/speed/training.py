"""One training step, the same for every framework."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .model import Model

RATE = 1e-5
"""Small enough that the layers fire as often after all repeats as before the first."""


def training_step(model: Model, xs: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """Forward, the cross entropy of the spike counts, backward, SGD; gives the output spikes."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), RATE)

    def step() -> Tensor:
        optimizer.zero_grad()
        spikes = model(xs)
        F.cross_entropy(spikes.sum(0), labels).backward()
        optimizer.step()
        return spikes.detach()

    return step
