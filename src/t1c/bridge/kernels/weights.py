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


def by_place(weight: Tensor) -> Tensor:
    """A weight (out, in, kH, kW) flat as (kH, kW, in, out).

    Whether what was laid out before still serves is told from the numbers themselves: not every
    write to a tensor counts in its version.
    """
    w = weight.detach()
    if w.numel() < LARGE:
        return _laid(w)
    bits = _BITS[w.element_size()]
    kept: tuple[Tensor, Tensor] | None = _LAID.get(weight)
    if kept is None or kept[0].shape != w.shape or not torch.equal(kept[0], w.view(bits)):
        kept = w.view(bits).clone(memory_format=torch.contiguous_format), _laid(w)
        _LAID[weight] = kept
    return kept[1]


def _laid(w: Tensor) -> Tensor:
    return w.permute(2, 3, 1, 0).contiguous().view(-1)
