"""Equal parts in a row: the tandem repeats of a sequence."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LONGEST = 64
"""Periods longer than this are not looked for."""


@dataclass(frozen=True)
class Run:
    """``times`` equal parts of ``period`` elements each, from ``start`` on.

    It could as well begin up to ``slack`` elements later.
    """

    start: int
    period: int
    times: int
    slack: int = 0

    @property
    def length(self) -> int:
        """How many elements it covers."""
        return self.period * self.times

    @property
    def stop(self) -> int:
        """Behind its last element."""
        return self.start + self.length


def repeats(sequence: Sequence[Hashable]) -> list[Run]:
    """Runs of equal parts that do not overlap, from left to right.

    Where several begin, that which covers the most is taken; of equal ones that with the shortest
    parts. Takes time proportional to the length times ``LONGEST``.

    Example:
        >>> repeats("iababababo")
        [Run(start=1, period=2, times=4, slack=0)]
    """
    code: dict[Hashable, int] = {}
    numbers = np.array([code.setdefault(element, len(code)) for element in sequence], np.int64)
    size = numbers.size
    # agrees[p - 1][i]: for how long the sequence from i on goes on as it does from i + p on.
    agrees = []
    for period in range(1, min(LONGEST, size // 2) + 1):
        ends = np.flatnonzero(numbers[:-period] != numbers[period:])
        ends = np.append(ends, size - period)
        here = np.arange(size - period)
        agrees.append(ends[np.searchsorted(ends, here)] - here)
    found: list[Run] = []
    start = 0
    while start < size:
        best = _best(agrees, start)
        # A much longer run that begins within this one is not cut short by it.
        later = (_best(agrees, at) for at in range(start + 1, min(best.stop, size)))
        if best.times > 1 and all(run.length <= 2 * best.length for run in later):
            found.append(best)
            start = best.stop
        else:
            start += 1
    return found


def _best(agrees: list[npt.NDArray[np.int64]], start: int) -> Run:
    """The run that covers the most of those that begin at ``start``; of no length if none does."""
    best = Run(start, 0, 0)
    for period, lengths in enumerate(agrees, 1):
        agreed = int(lengths[start]) if start < lengths.size else 0
        times, slack = agreed // period + 1, agreed % period
        if times > 1 and times * period > best.length:
            best = Run(start, period, times, slack)
    return best
