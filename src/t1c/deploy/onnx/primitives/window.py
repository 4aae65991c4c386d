"""What lies in each place of sliding windows, of all windows at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from t1c.ir.primitives.window import Pads
from t1c.ir.shapes import Shape

from ..writer import Value, Writer


def beyond(
    size: Shape,
    counts: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
) -> list[int]:
    """How far the last window reaches behind a map of this size, along each axis."""
    axes = zip(size, counts, kernel, stride, pads, dilation, strict=True)
    return [max((c - 1) * s + d * (k - 1) + 1 - n - p, 0) for n, c, k, s, (p, _), d in axes]


def places(
    w: Writer,
    x: Value,
    counts: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    fill: float,
) -> list[Value]:
    """One value (C, *counts) for each place of the kernel, row by row; padding holds ``fill``."""
    after = beyond(x.shape[1:], counts, kernel, stride, pads, dilation)
    before = [p for p, _ in pads]
    shape = (x.shape[0], *counts)
    if any(before) or any(after):
        size = [n + p + b for n, p, b in zip(x.shape[1:], before, after, strict=True)]
        margins = w.integers(0, 0, *before, 0, 0, *after)
        x = w.op("Pad", x, margins, w.number(fill), shape=(x.shape[0], *size))
    axes, steps = w.integers(*range(2, 2 + len(kernel))), w.integers(*stride)
    found = []
    for place in itertools.product(*map(range, kernel)):
        starts = [j * d for j, d in zip(place, dilation, strict=True)]
        ends = [b + (c - 1) * s + 1 for b, c, s in zip(starts, counts, stride, strict=True)]
        given = x, w.integers(*starts), w.integers(*ends), axes, steps
        found.append(w.op("Slice", *given, shape=shape))
    return found
