"""Mean and squared deviations of every channel of maps that lie channels last, for CPUs."""

from __future__ import annotations

import numpy as np

from .compiled import Array, compiled

ROWS = 64
"""Pixels that stay in the first-level cache, of which a mean is taken before deviations from it."""


@compiled
def moments(first: int, last: int, parts: int, z: Array, found: Array) -> None:
    """Mean and sum of squared deviations of pieces ``first`` to ``last``.

    Sums are taken in the dtype of ``z`` over ``ROWS`` pixels, and in float64 beyond.

    Args:
        first: a piece is one of ``parts`` of the pixels of a group.
        last: the one after the last.
        parts: of a group.
        z: (groups, pixels, channels).
        found: (groups, parts, 2, channels), in float64: takes both.
    """
    pixels, channels = z.shape[1], z.shape[2]
    near, rest = np.empty(channels, z.dtype), np.empty(channels, z.dtype)
    spread, total = np.empty(channels, z.dtype), np.empty(channels, np.float64)
    squares = np.empty(channels, np.float64)
    for piece in range(first, last):
        group, part = piece // parts, piece % parts
        begin, end = pixels * part // parts, pixels * (part + 1) // parts
        total[:], squares[:] = 0, 0
        done = 0
        for a in range(begin, end, ROWS):
            n = min(ROWS, end - a)
            size = z.dtype.type(n)
            near[:], rest[:], spread[:] = 0, 0, 0
            for m in range(a, a + n):
                row = z[group, m]
                for k in range(channels):
                    near[k] += row[k]
            for k in range(channels):
                near[k] /= size
            for m in range(a, a + n):
                row = z[group, m]
                for k in range(channels):
                    d = row[k] - near[k]
                    rest[k] += d
                    spread[k] += d * d
            for k in range(channels):
                # What the mean in this dtype leaves over is made good.
                over = np.float64(rest[k]) / n
                mean = np.float64(near[k]) + over
                apart = mean - total[k]
                share = n / (done + n)
                total[k] += apart * share
                squares[k] += np.float64(spread[k]) - n * over * over + apart * apart * share * done
            done += n
        found[group, part, 0] = total
        found[group, part, 1] = squares
