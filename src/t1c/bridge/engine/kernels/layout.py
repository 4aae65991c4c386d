"""Tensors as the flat arrays that compiled loops take, in the order in which they lie in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ALIKE = (torch.float32, torch.float64)
LONG = 1024
"""Elements that a period of coefficients has at least, so that loops over it are long."""


def channels_last(x: Tensor) -> bool:
    """Whether a sequence (T, B, C, ...) lies in memory as (T, B, ..., C), and not as it reads."""
    return x.ndim > 3 and not x.is_contiguous() and x.movedim(2, -1).is_contiguous()


def flat(x: Tensor, last: bool) -> Tensor:
    """A sequence (T, B, *features) as (T, N), without a copy where it lies in that order."""
    if last:
        x = x.movedim(2, -1)
    return x.contiguous().view(len(x), -1) if x.numel() else x.reshape(len(x), 0)


def unflat(x: Tensor, shape: torch.Size, last: bool) -> Tensor:
    """A view of ``flat`` data as the sequence (T, B, *features) of ``shape``."""
    if not last:
        return x.view(shape)
    return x.view(*shape[:2], *shape[3:], shape[2]).movedim(-1, 2)


def copied(x: Tensor) -> Tensor:
    """A copy of a contiguous tensor; on a CPU made by this thread alone.

    Torch shares out even small copies among its threads, which then are waited for.
    """
    if x.device.type != "cpu" or x.dtype not in _ALIKE:
        return x.clone()
    return torch.from_numpy(x.numpy().copy())


def periodic(
    coefficients: tuple[Tensor, ...], features: torch.Size, last: bool, elements: int = LONG
) -> Tensor:
    """Coefficients that broadcast over ``features`` as (8, P): element n has those at n modulo P.

    P is as small as the coefficients allow, and at least ``LONG``, or ``elements`` if loops have no
    more.
    """
    size = math.prod(features)
    if not last and all(c.is_cpu and c.dtype in _ALIKE for c in coefficients):
        return periodic_of_arrays([c.numpy() for c in coefficients], features, elements)
    if all(c.numel() == 1 for c in coefficients):
        return torch.stack([c.reshape(1) for c in coefficients]).repeat(1, LONG).contiguous()
    spread = torch.broadcast_tensors(*coefficients)[0].shape
    if last and math.prod(spread) == features[0] == (spread[0] if spread else 0):
        rows = torch.stack([c.expand(spread).reshape(-1) for c in coefficients])
        return rows.repeat(1, -(-LONG // features[0])).contiguous()
    rows = torch.stack([c.expand(features) for c in coefficients])
    if last:
        rows = rows.movedim(1, -1)
    return rows.reshape(len(coefficients), size).repeat(1, -(-LONG // max(1, size)))


def periodic_of_arrays(
    coefficients: Sequence[Any], features: torch.Size, elements: int = LONG
) -> Tensor:
    """The same of arrays, in a tenth of the time that torch takes for so small tensors."""
    size, long = math.prod(features), min(LONG, elements)
    if all(c.size == 1 for c in coefficients):
        rows = np.empty((len(coefficients), max(1, long)), coefficients[0].dtype)
        for n, c in enumerate(coefficients):
            rows[n] = c.reshape(())
        return torch.from_numpy(rows)
    times = -(-long // max(1, size))
    rows = np.empty((len(coefficients), times, *features), coefficients[0].dtype)
    for n, c in enumerate(coefficients):
        rows[n] = c
    return torch.from_numpy(rows.reshape(len(rows), times * size))


def reduced(g: Tensor, like: Tensor) -> Tensor:
    """A gradient (B, *features) of a coefficient that was broadcast over them."""
    return g.sum_to_size((1, *g.shape[1:]))[0].sum_to_size(like.shape).to(like.dtype)
