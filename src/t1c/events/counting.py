"""How many events fall into each cell: of a step, and of a place on the sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

BLOCK = 1 << 16
"""Events that are worked at once: their indices stay in the cache."""


@dataclass(frozen=True)
class Steps:
    """How time is cut into steps, all of the same length.

    Attributes:
        count: T.
        start: when the first begins.
        length: of each, as a fraction ``numerator / denominator`` of whole numbers, so that which
            step an event falls into does not depend on rounding.
    """

    count: int
    start: int
    length: tuple[int, int]

    def of(self, t: Array) -> Array:
        """The step (N,) that each time falls into; outside 0..T-1 for what lies outside."""
        numerator, denominator = self.length
        since = t.astype(np.int64) - self.start
        if denominator != 1:
            since *= denominator
        return since // numerator


def steps_of(
    t: Array, n_frames: int | None, window: int | None, start: int | None, end: int | None
) -> Steps:
    """T equal steps from the first event to the last, or as many of a given length as there are.

    Raises:
        InputError: neither or both of ``n_frames`` and ``window`` are given, or one is no
            positive whole number; or there is no event to begin with, and no ``start``.
    """
    if (n_frames is None) == (window is None):
        raise InputError(
            Problem(
                f"n_frames={n_frames} and window={window}",
                "one of them",
                "n_frames says how many steps there are, window how long one is.",
            )
        )
    chosen = n_frames if n_frames is not None else window
    if isinstance(chosen, bool) or not isinstance(chosen, int | np.integer) or chosen < 1:
        name = "n_frames" if window is None else "window"
        raise InputError(Problem(f"{name}={chosen!r}", "a whole number of at least 1", field=name))
    if not len(t) and start is None:
        start = 0
    first = int(t.min()) if start is None else int(start)
    past = (int(t.max()) + 1 if len(t) else first + 1) if end is None else int(end)
    span = max(past - first, 1)
    if window is not None:
        return Steps(-(-span // int(window)), first, (int(window), 1))
    assert n_frames is not None
    return Steps(int(n_frames), first, (span, int(n_frames)))


def count_events(
    steps: Steps,
    t: Array,
    cells: int,
    cell_of: Callable[[slice], Array],
    dtype: np.dtype[np.generic],
) -> Array:
    """Count events: (T, cells).

    Args:
        steps: T and how time is cut; events outside are left out.
        t: times (N,).
        cells: how many places there are in a step.
        cell_of: a slice of events -> the place (n,) of each, int64.
        dtype: of the counts.
    """
    counted = np.zeros(steps.count * cells, dtype)
    for block in _blocks(len(t)):
        step = steps.of(t[block])
        cell = cell_of(block)
        if step.min() < 0 or step.max() >= steps.count:
            inside = (step >= 0) & (step < steps.count)
            step, cell = step[inside], cell[inside]
            if not len(step):
                continue
        first, last = int(step.min()), int(step.max())
        index = (step - first) * cells + cell
        if (last - first + 1) * cells <= 64 * BLOCK:
            # Events lie in the order of their times, so a block touches few steps.
            few = np.bincount(index)
            counted[first * cells : first * cells + len(few)] += few.astype(dtype, copy=False)
        else:
            np.add.at(counted, index + first * cells, 1)
    return counted.reshape(steps.count, cells)


def outside(where: str, value: int, limit: int) -> InputError:
    """The error of an event that lies beside the sensor."""
    return InputError(
        Problem(
            f"an event at {where}={value}",
            f"from 0 to {limit - 1}, as the sensor has {limit}",
            "Pass the size of the sensor that took them.",
            field=where,
        )
    )


def _blocks(length: int) -> Iterator[slice]:
    for start in range(0, length, BLOCK):
        yield slice(start, min(start + BLOCK, length))
