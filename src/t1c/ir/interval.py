"""What is known of numbers without running a graph: bounds, and a grid that they lie on.

An ``Interval`` stands for all values that something can take. Its arithmetic is that of the values:
whatever they are, what is computed from them lies in what is computed from their intervals. Floats
on a grid are exact as long as they are small enough, and ``span`` says how small: see ``Ranges``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .fields import Array

FINEST = 2.0**-100
"""Below this, numbers on a grid are taken for real."""
COARSEST = 2.0**100
"""The grid of zero, which lies on all of them."""


@dataclass(frozen=True)
class Interval:
    """Real numbers from ``low`` to ``high`` that are multiples of ``unit``.

    Attributes:
        low: the least; -inf if not known.
        high: the greatest.
        unit: a power of two; whole numbers are multiples of 1; 0: real numbers.
        span: the largest magnitude, counted in units, of these numbers and of all that they were
            made from since ``settled``; infinite where that is not known. A float format with p
            bits holds them and works them out exactly, in any order, if it is at most 2**p.
    """

    low: float
    high: float
    unit: float = 0.0
    span: float = field(default=-1.0)

    def __post_init__(self) -> None:
        """Work out the span of the numbers themselves."""
        if self.unit < FINEST:
            object.__setattr__(self, "unit", 0.0)
        if self.low == self.high == 0:
            object.__setattr__(self, "unit", COARSEST)
        object.__setattr__(self, "span", max(self.span, self._own_span()))

    def _own_span(self) -> float:
        most = max(abs(self.low), abs(self.high), 0.0)
        if self.is_empty or most == 0:
            return 0.0
        return most / self.unit if self.unit else math.inf

    @property
    def is_empty(self) -> bool:
        """There is no such number: nothing arrived yet."""
        return self.low > self.high

    @property
    def whole(self) -> bool:
        """All are integers."""
        return self.unit >= 1

    @property
    def bounded(self) -> bool:
        """Both bounds are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @staticmethod
    def of(values: Array | float) -> Interval:
        """The numbers of an array.

        Example:
            >>> import numpy as np
            >>> Interval.of(np.array([0.75, -2.0]))
            Interval(low=-2.0, high=0.75, unit=0.25, span=8.0)
        """
        array = np.asarray(values, np.float64)
        if not np.isfinite(array).all():
            return UNKNOWN
        return Interval(float(array.min()), float(array.max()), grid_of(array))

    def settled(self) -> Interval:
        """The same numbers, with a span of their own alone."""
        return Interval(self.low, self.high, self.unit)

    def union(self, other: Interval) -> Interval:
        """What is in either."""
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        return self._with(
            other, min(self.low, other.low), max(self.high, other.high), self._coarsest(other)
        )

    def within(self, other: Interval) -> bool:
        """Whether all of these are among the others."""
        inside = self.is_empty or (other.low <= self.low and self.high <= other.high)
        return inside and other.unit <= self.unit

    def __add__(self, other: Interval) -> Interval:
        return self._with(
            other, self.low + other.low, self.high + other.high, self._coarsest(other)
        )

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low, self.unit, self.span)

    def __mul__(self, other: Interval) -> Interval:
        ends = [_times(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        unit = min(self.unit * other.unit, COARSEST)
        return self._with(other, min(ends), max(ends), unit)

    def minimum(self, other: Interval) -> Interval:
        """The lesser of one of these and one of the others."""
        return self._with(
            other, min(self.low, other.low), min(self.high, other.high), self._coarsest(other)
        )

    def maximum(self, other: Interval) -> Interval:
        """The greater of one of these and one of the others."""
        return -(-self).minimum(-other)

    def rounded(self, how: Callable[[float], float]) -> Interval:
        """Each made whole by ``how``, which never falls: floor, or rounding to the nearest."""
        low, high = (e if math.isinf(e) else float(how(e)) for e in (self.low, self.high))
        return Interval(low, high, max(self.unit, 1.0), self.span if self.unit else -1.0)

    def absolute(self) -> Interval:
        """Each without its sign."""
        low = 0.0 if self.low <= 0 <= self.high else min(abs(self.low), abs(self.high))
        return Interval(low, max(abs(self.low), abs(self.high)), self.unit, self.span)

    def summed(self, count: float) -> Interval:
        """The sum of that many of these, in any order."""
        return self.union(ZERO) * Interval(1.0, max(count, 1.0), 1.0)

    def real(self) -> Interval:
        """The same bounds, on no grid."""
        return Interval(self.low, self.high)

    def _coarsest(self, other: Interval) -> float:
        """The unit of numbers of both."""
        return min(self.unit, other.unit)

    def _with(self, other: Interval, low: float, high: float, unit: float) -> Interval:
        return Interval(low, high, unit, max(self.span, other.span))


ZERO = Interval(0.0, 0.0)
SPIKES = Interval(0.0, 1.0, 1.0)
"""Spikes, one at most."""
UNKNOWN = Interval(-math.inf, math.inf)
EMPTY = Interval(math.inf, -math.inf, COARSEST)
"""Before anything arrived."""


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def grid_of(values: Array) -> float:
    """The largest power of two of which all ``values`` are multiples, as far as grids are told.

    Example:
        >>> import numpy as np
        >>> grid_of(np.array([12.0, 0.5])), grid_of(np.array([12, 8])), grid_of(np.array([0.1]))
        (0.5, 4.0, 0.0)
    """
    left = np.unique(np.abs(np.asarray(values, np.float64)))
    left = left[left > 0]
    if not left.size:
        return COARSEST
    part, exponent = np.frexp(left)
    # 0.1 has a last bit too, the 53rd: a grid is what leaves room for sums.
    odd = (part * 2.0**53).astype(np.int64)
    lowest = exponent - 53 + np.log2((odd & -odd).astype(np.float64)).astype(np.int64)
    spread = int((exponent - lowest).max())
    unit = 2.0 ** int(lowest.min())
    return unit if spread <= MOST_BITS and unit >= FINEST else 0.0


MOST_BITS = 40
"""A number with more significant bits is real: nobody put it on a grid."""


def weighted_sums(x: Interval, rows: Array, first: Array | None, partly: bool = False) -> Interval:
    """All sums of weights times inputs, with a first term each.

    Args:
        x: the inputs.
        rows: weights (outputs, terms).
        first: what each sum begins with (outputs,); None: nothing.
        partly: some terms may be missing, as where a window hangs over the border.
    """
    w = rows.astype(np.float64)
    begun = np.zeros(len(w)) if first is None else first.astype(np.float64)
    if not (np.isfinite(w).all() and np.isfinite(begun).all()):
        return UNKNOWN
    above, below = np.maximum(w, 0).sum(axis=1), np.minimum(w, 0).sum(axis=1)

    def ends(inputs: Interval, first: tuple[Array, Array]) -> tuple[float, float]:
        with np.errstate(invalid="ignore"):
            low = _sum(first[0], above, inputs.low, below, inputs.high)
            high = _sum(first[1], above, inputs.high, below, inputs.low)
        return float(low.min()), float(high.max())

    some = x.union(ZERO)
    low, high = ends(some if partly else x, (begun, begun))
    # Sums on the way hold some of the terms, and perhaps not yet the first.
    unit = min(x.unit * grid_of(w), grid_of(begun), COARSEST)
    on_the_way = Interval(*ends(some, (np.minimum(begun, 0), np.maximum(begun, 0))), unit)
    return Interval(low, high, unit, max(on_the_way.span, x.span, Interval.of(w).span))


def _sum(first: Array, a: Array, x: float, b: Array, y: float) -> Any:
    """First + a * x + b * y, where zero times infinity is zero."""
    return first + np.where(a == 0, 0.0, a * x) + np.where(b == 0, 0.0, b * y)
