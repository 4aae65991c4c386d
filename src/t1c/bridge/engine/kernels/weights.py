"""What is remembered of weights: whether they are finite, and how kernels want them to lie.

It serves as long as the numbers are the same, which is told from the numbers: not every write to a
tensor counts in its version.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from .fingerprint import fingerprint

LARGE, UNSEEN = 2**15, 2**22
"""Elements from which laying a weight out costs more than looking whether it is still the same;
and from which a look takes so long that it is left to whoever remembers something of a weight."""


@dataclass(frozen=True)
class _Known:
    """What follows from a weight.

    Attributes:
        mark: what tells it.
        finite: whether all of its elements are.
        laid: (tile, ordered) -> its elements as ``by_place`` lays them out.
    """

    mark: tuple[Any, ...]
    finite: bool
    laid: dict[tuple[int, bool], Tensor] = field(default_factory=dict)


_KNOWN: Any = WeakTensorKeyDictionary()
"""Weight -> what is known of it."""
_looking = threading.local()


@contextmanager
def one_look(held: Mapping[int, bytes] | None = None) -> Iterator[None]:
    """Look once at each weight in here, where nothing runs that could write to one.

    Args:
        held: weight -> its fingerprint, by the number of the object, for those looked at already.
    """
    outer = getattr(_looking, "seen", None), getattr(_looking, "held", {})
    _looking.seen, _looking.held = {}, held or {}
    try:
        yield
    finally:
        _looking.seen, _looking.held = outer


def finite(weight: Tensor) -> bool:
    """Whether all elements of a weight on a CPU are finite."""
    if weight.numel() < LARGE:
        return _is_finite(weight)
    return _known(weight).finite


def by_place(weight: Tensor, tile: int, ordered: bool = False) -> Tensor:
    """A weight (out, in, ...) flat, each tile of outputs as (..., in, tile).

    With ``ordered`` as (in, ..., tile), the order in which sums are written.
    """
    if weight.numel() < LARGE:
        return _laid(weight.detach(), tile, ordered)
    known = _known(weight)
    found = known.laid.get((tile, ordered))
    if found is None:
        # What is kept must serve training too, which inference tensors cannot.
        with torch.inference_mode(False):
            found = known.laid[tile, ordered] = _laid(weight.detach(), tile, ordered)
    return found


def _known(weight: Tensor) -> _Known:
    seen: dict[int, tuple[Tensor, _Known]] | None = getattr(_looking, "seen", None)
    if seen is not None and id(weight) in seen:
        return seen[id(weight)][1]
    held: Mapping[int, bytes] = getattr(_looking, "held", {})
    bytes_now = held.get(id(weight)) or fingerprint(weight)
    mark = weight.dtype, weight.shape, weight.stride(), bytes_now
    found: _Known | None = _KNOWN.get(weight)
    if found is None or found.mark != mark:
        found = _KNOWN[weight] = _Known(mark, _is_finite(weight))
    if seen is not None:
        # With the weight, whose number would go to another one otherwise.
        seen[id(weight)] = weight, found
    return found


def _is_finite(weight: Tensor) -> bool:
    # A sum is finite only if its terms are, unless it overflows, which errs on the safe side.
    return math.isfinite(float(weight.detach().sum()))


def _laid(w: Tensor, tile: int, ordered: bool) -> Tensor:
    laid = w.new_empty(w.numel())
    row = w[0].numel() if len(w) else 0
    for begin in range(0, len(w), tile):
        part = w[begin : begin + tile].movedim(0, -1)
        part = part if ordered else part.movedim(0, -2)
        laid[begin * row :][: part.numel()].view(part.shape).copy_(part)
    return laid
