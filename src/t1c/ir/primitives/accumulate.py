"""Accumulate: what a signal amounts to so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..fields import Array, choice
from ..interval import EMPTY, SPIKES, ZERO, Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from .delay import MEMORY_SINCE

REST = {"sum": 0.0, "max": -np.inf, "min": np.inf}
"""What is accumulated before the first step, where one number tells it."""


@register_node
class Accumulate(Node):
    """The sum, mean, max or min of the input over the steps so far, element by element.

    how='sum' adds each input to the total, in the order of time; 'mean' divides that total by the
    number of steps, 'max' and 'min' keep the largest and the smallest::

        total = total + x;  y = total                                   how='sum'
        total = total + x;  count = count + 1;  y = total / count       how='mean'
        best = max(best, x);  y = best                                  how='max'; 'min' likewise

    Each sum and quotient is rounded once in the tensor's dtype, the count too: float32 counts
    exactly up to 2**24 steps. Any shape. State: (total,); (total, count) for a mean, with one count
    for each sample, of shape (B, 1, ..., 1); (best,) for max and min, infinite at rest.
    """

    since = MEMORY_SINCE
    how: str = choice("sum", "mean", "max", "min")

    @property
    def state_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """What is carried from step to step."""
        return state_names(self.how)

    def initial_state(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> State:
        """Nothing was added yet."""
        if self.how == "mean":
            return np.zeros(shape, dtype), np.zeros(count_shape(shape), dtype)
        return (np.full(shape, REST[self.how], dtype),)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Take in this step's input."""
        if self.how == "max":
            best = np.maximum(state[0], x)
            return best, (best,)
        if self.how == "min":
            best = np.minimum(state[0], x)
            return best, (best,)
        total = state[0] + x
        if self.how == "sum":
            return total, (total,)
        count = state[1] + x.dtype.type(1)
        return total / count, (total, count)

    def initial_bounds(self) -> Bounds:
        """Nothing was added yet."""
        return {"sum": (ZERO,), "mean": (ZERO, ZERO)}.get(self.how, (EMPTY,))

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """A sum grows without end; the best so far is one of what arrived."""
        if self.how in ("max", "min"):
            best = state[0].union(x)
            return best, (best,)
        total = state[0] + x
        if self.how == "sum":
            return total, (total,)
        return x.real(), (total, state[1] + SPIKES)


def state_names(how: str) -> tuple[str, ...]:
    """What an Accumulate carries from step to step."""
    return {"sum": ("total",), "mean": ("total", "count")}.get(how, ("best",))


def count_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One count for each sample of an input of ``shape`` (B, *features)."""
    return (*shape[:1], *[1] * (len(shape) - 1))
