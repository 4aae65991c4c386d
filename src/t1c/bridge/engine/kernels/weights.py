"""Weights as kernels want them to lie, kept as long as the numbers are the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from .threads import share

LARGE = 2**17
"""Elements from which laying a weight out costs more than looking whether it is still the same."""

_LAID: Any = WeakTensorKeyDictionary()
"""Weight -> (its numbers as they were, how they were laid out)."""


def by_place(weight: Tensor, tile: int, ordered: bool = False) -> Tensor:
    """A weight (out, in, kH, kW) or (out, in, kW) flat, each tile of outputs as (kH, kW, in, tile).

    With ``ordered`` as (in, kH, kW, tile), the order in which sums are written.

    Whether what was laid out before still serves is told from the numbers themselves: not every
    write to a tensor counts in its version.
    """
    w = weight.detach()
    if w.numel() < LARGE:
        return _laid(w, tile, ordered)
    now = w.contiguous().view(-1).view(torch.int32)
    kept: tuple[Tensor, Tensor, tuple[Any, ...]] | None = _LAID.get(weight)
    how = w.dtype, w.shape, tile, ordered
    if kept is None or kept[2] != how or not _same(kept[0], now):
        kept = now.clone(), _laid(w, tile, ordered), how
        _LAID[weight] = kept
    return kept[1]


def _same(a: Tensor, b: Tensor) -> bool:
    from .numba_equal import differ

    found = torch.zeros(1, dtype=torch.bool)
    share(differ, len(a), len(a), *(x.numpy() for x in (a, b, found)), multiple=16)
    return not found[0]


def _laid(w: Tensor, tile: int, ordered: bool) -> Tensor:
    laid = w.new_empty(w.numel())
    row = w[0].numel()
    for begin in range(0, len(w), tile):
        part = w[begin : begin + tile].movedim(0, -1)
        part = part if ordered else part.movedim(0, -2)
        laid[begin * row :][: part.numel()].view(part.shape).copy_(part)
    return laid
