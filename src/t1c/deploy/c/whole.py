"""Whole numbers between bounds, which may have places behind the point: value = n / 2**shift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c.ir.interval import Interval

MOST_PLACES = 40
"""Behind the point; what has more is real."""


@dataclass(frozen=True)
class Whole:
    """What is known of a number that integers hold exactly.

    Attributes:
        low: the least n.
        high: the greatest n.
        shift: the number of binary places behind the point.
    """

    low: int
    high: int
    shift: int = 0

    @staticmethod
    def of(interval: Interval) -> Whole | None:
        """What an interval says; None where its numbers are real or have no bounds."""
        if not interval.unit or not interval.bounded or interval.is_empty:
            return None
        shift = max(0, -round(math.log2(min(interval.unit, 1.0))))
        if shift > MOST_PLACES:
            return None
        scaled = [int(end * 2.0**shift) for end in (interval.low, interval.high)]
        low, high = scaled
        return Whole(low, high, shift) if max(-low, high) < 2**62 else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The least signed type that holds it."""
        most = next(b for b in (8, 16, 32, 64) if -(2 ** (b - 1)) <= self.low
                    and self.high < 2 ** (b - 1))  # fmt: skip
        return np.dtype(f"int{most}")

    @property
    def worked(self) -> str:
        """The type in C in which it is worked: 32 bits, or 64 where these are not enough."""
        return "int64_t" if self.dtype == np.int64 else "int32_t"

    def raised(self, shift: int) -> Whole:
        """The same with more places."""
        factor = 1 << (shift - self.shift)
        return Whole(self.low * factor, self.high * factor, shift)

    def within(self, other: Whole) -> Whole:
        """What is in both, which have as many places."""
        return Whole(max(self.low, other.low), min(self.high, other.high), self.shift)

    def union(self, other: Whole) -> Whole:
        """What is in either, which have as many places."""
        return Whole(min(self.low, other.low), max(self.high, other.high), self.shift)


def result(name: str, wholes: list[Whole]) -> Whole | None:
    """What an operation makes of numbers with as many places; None if that is a condition."""
    a, *others = wholes
    if name == "negative":
        return Whole(-a.high, -a.low, a.shift)
    b = others[0]
    if name == "add":
        return Whole(a.low + b.low, a.high + b.high, a.shift)
    if name == "subtract":
        return Whole(a.low - b.high, a.high - b.low, a.shift)
    if name == "multiply":
        ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        return Whole(min(ends), max(ends), a.shift + b.shift)
    if name == "maximum":
        return Whole(max(a.low, b.low), max(a.high, b.high), a.shift)
    if name == "minimum":
        return Whole(min(a.low, b.low), min(a.high, b.high), a.shift)
    return a.union(b) if name == "where" else None
