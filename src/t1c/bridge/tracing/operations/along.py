"""What becomes of one feature axis: its elements picked, or mixed by a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from t1c import ir

from ..drawing import Signal

if TYPE_CHECKING:
    from ..bench import Bench

MOST_PIECES = 16
"""So many slices are joined for an index, for which else a product with ones and zeros serves."""


def mixed(b: Bench, signal: Signal, axis: int, weight: np.ndarray, label: str) -> Signal:
    """A product with a matrix (m, n) along a feature axis of n elements, which then has m."""
    rank = len(signal.features)
    linear = ir.Linear(weight)
    made = (*signal.features[:axis], len(weight), *signal.features[axis + 1 :])
    if axis == rank - 1:
        return b.emit(linear, signal, features=made)
    order = (*(i for i in range(rank) if i != axis), axis)
    moved = tuple(signal.features[i] for i in order)
    last = b.emit(ir.Transpose(order), signal, features=moved, label=f"{label}.last")
    product = b.emit(linear, last, features=(*moved[:-1], len(weight)), label=f"{label}.product")
    back = ir.Transpose(tuple(order.index(i) for i in range(rank)))
    return b.emit(back, product, features=made)


def joined(b: Bench, axis: int, parts: Sequence[Signal]) -> Signal:
    """Signals one behind the other along a feature axis."""
    n = sum(part.features[axis] for part in parts)
    features = (*parts[0].features[:axis], n, *parts[0].features[axis + 1 :])
    node = ir.Skip("concatenate") if axis == 0 else ir.Concat(axis)
    return b.emit(node, *b.apart(*parts), features=features)


def picked(b: Bench, signal: Signal, axis: int, places: Sequence[int]) -> Signal:
    """The elements at ``places`` along a feature axis, in their order: slices, or a product."""
    if len(_runs(places)) <= MOST_PIECES:
        return in_pieces(b, signal, axis, places)
    weight = np.zeros((len(places), signal.features[axis]), b.dtype)
    weight[np.arange(len(places)), places] = 1
    return mixed(b, signal, axis, weight, "take")


def in_pieces(b: Bench, signal: Signal, axis: int, places: Sequence[int]) -> Signal:
    """The elements at ``places`` along a feature axis, in their order: slices that are joined."""
    whole = (0, signal.features[axis])
    parts = [signal if run == whole else b.slice(signal, axis, *run) for run in _runs(places)]
    return parts[0] if len(parts) == 1 else joined(b, axis, parts)


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours that follow each other, as (first, behind the last)."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs
