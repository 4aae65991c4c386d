"""A weighted sum over what fires and the neuron behind it as one loop, for CPUs.

The sums of a few steps are worked where the spikes will be, and the membranes take these steps
while they are in the cache.
"""

from __future__ import annotations

import numpy as np

from .compiled import Array, compiled
from .numba_calls import WALK, walk
from .numba_events import room_for, weighted_sums


@compiled
def affine(
    first: int,
    last: int,
    group: int,
    parts: int,
    part: int,
    x: Array,
    weight: Array,
    tiled: bool,
    bias: Array,
    state: int,
    apart: int,
    c: Array,
    y: Array,
    loop: int,
    numbers: int,
) -> None:
    """All steps of some lanes: ``group`` samples, or ``part`` of the neurons of one.

    Args:
        first: the first lane.
        last: the one after the last.
        group: samples of a lane.
        parts: lanes that the neurons of a sample are in.
        part: neurons of a lane.
        x: (T, B, in).
        weight: as ``weights.by_place`` lays it out.
        tiled: whether it lies in tiles.
        bias: (out,).
        state: where the first variable of the neuron's state (B, out) is, worked in place.
        apart: elements from there to the second.
        c: coefficients (8, period).
        y: takes the spikes (T, B, out).
        loop: where the neuron's loop is, which works in place.
        numbers: where its numbers are.
    """
    (steps, batch, width), size, item = x.shape, y.shape[2], y.itemsize
    of, to = x.reshape(-1), y.reshape(-1)
    rows, index, ends, plain = room_for(steps, width)
    table = np.empty(WALK, np.int64)
    for lane in range(first, last):
        b, start = lane // parts * group, lane % parts * part
        samples, neurons = min(group, batch - b), min(part, size - start)
        for begin in range(0, steps, rows):
            worked = min(rows, steps - begin)
            for s in range(b, b + samples):
                at, sums = (begin * batch + s) * width, (begin * batch + s) * size
                weighted_sums(
                    of, at, batch * width, worked, width, weight, tiled, bias,
                    to, sums, batch * size, start, start + neurons, index, ends, plain,
                )  # fmt: skip
            # Several samples are of all neurons, which lie side by side.
            own = y.ctypes.data + (begin * batch + b) * size * item
            walk(
                loop, table, start, start + samples * neurons, worked, numbers, c.ctypes.data,
                c.shape[1], state + b * size * item, apart, own, batch * size, own, batch * size,
            )  # fmt: skip
