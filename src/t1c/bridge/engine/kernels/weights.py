"""Weights as kernels want them to lie, kept as long as the numbers are the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

LARGE = 2**17
"""Elements from which laying a weight out costs more than looking whether it is still the same."""

_BITS = {4: torch.int32, 8: torch.int64}
_LAID: Any = WeakTensorKeyDictionary()
"""Weight -> (its numbers as they were, how they were laid out)."""


def by_place(weight: Tensor, tile: int) -> Tensor:
    """A weight (out, in, kH, kW) flat, for each ``tile`` of its outputs as (kH, kW, in, tile).

    Whether what was laid out before still serves is told from the numbers themselves: not every
    write to a tensor counts in its version.
    """
    w = weight.detach()
    if w.numel() < LARGE:
        return _laid(w, tile)
    bits = _BITS[w.element_size()]
    kept: tuple[Tensor, Tensor, int] | None = _LAID.get(weight)
    if kept is None or kept[2] != tile or not _same(kept[0], w.view(bits)):
        kept = w.view(bits).clone(memory_format=torch.contiguous_format), _laid(w, tile), tile
        _LAID[weight] = kept
    return kept[1]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def _laid(w: Tensor, tile: int) -> Tensor:
    laid = w.new_empty(w.numel())
    row = w[0].numel()
    for begin in range(0, len(w), tile):
        part = w[begin : begin + tile].permute(2, 3, 1, 0)
        laid[begin * row :][: part.numel()].view(part.shape).copy_(part)
    return laid
