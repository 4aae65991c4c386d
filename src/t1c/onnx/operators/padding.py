"""Pad, with zeros, with the edge, or mirrored, in words that a graph has.

Zeros come from a convolution whose kernel is a single 1: its own padding is what is wanted, and
what is inside stays bit for bit. Rows of the edge and mirrored ones are slices, joined to the
signal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from t1c import ir

from ..values import Signal
from .call import Call
from .registry import operator

Pads = Sequence[tuple[int, int]]


@operator("Pad")
def pad(call: Call) -> Signal:
    """Padding of any feature axes; below 0 it cuts off."""
    x = call.signal(0)
    mode = call.attributes("mode", "constant")
    if call.opset < 11:
        flat, value = call.attributes.ints("pads"), call.attributes("value", 0.0)
    else:
        flat = call.ints(1)
        value = float(np.ravel(call.known(2, np.zeros(1)))[0]) if call.value(2) is not None else 0.0
    given = call.ints(3, tuple(range(x.rank)))
    pads = [(0, 0)] * x.rank
    for i, axis in enumerate(given):
        pads[axis % x.rank] = (flat[i], flat[len(given) + i])
    if pads[0] != (0, 0):
        raise call.refuse(f"padding {pads[0]} of the batch", "axes of features")
    wide = [(max(before, 0), max(after, 0)) for before, after in pads[1:]]
    if mode == "constant":
        if value != 0 and any(map(any, wide)):
            raise call.refuse(f"padding with {value:g}", "with zeros", "Pad with zeros.")
        x = zeros_around(call, x, wide)
    elif mode in ("edge", "reflect"):
        for axis, (before, after) in enumerate(wide):
            x = _rows_around(call, x, axis, before, after, mode)
    else:
        raise call.refuse(f"mode={mode!r}", "constant, edge or reflect")
    return _cut(call, x, [(min(before, 0), min(after, 0)) for before, after in pads[1:]])


def zeros_around(call: Call, x: Signal, pads: Pads) -> Signal:
    """The signal with zeros before and after it, along each feature axis; exact."""
    for axis, (before, after) in enumerate(pads):
        if not (before or after):
            continue
        shape = x.shape
        rows = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        if shape != rows:
            x = call.add(ir.Reshape(rows), x, part="as_map")
        most = max(before, after)
        one = np.ones((rows[0], 1, 1, 1), np.float32)
        around = ir.Conv2d(one, np.zeros(rows[0], np.float32), padding=(most, 0), groups=rows[0])
        x = call.add(around, x, part="padded")
        x = _sliced(call, x, 1, most - before, most + rows[1] + after)
        wider = (*shape[:axis], before + shape[axis] + after, *shape[axis + 1 :])
        if x.shape != wider:
            x = call.add(ir.Reshape(wider), x, part="as_before")
    return x


def _rows_around(call: Call, x: Signal, axis: int, before: int, after: int, mode: str) -> Signal:
    size = x.shape[axis]
    if mode == "reflect":
        if max(before, after) >= size:
            raise call.refuse(
                f"{max(before, after)} mirrored rows of {size}", "fewer than there are"
            )
        first = list(range(before, 0, -1))
        last = list(range(size - 2, size - 2 - after, -1))
    else:
        first, last = [0] * before, [size - 1] * after
    if not (first or last):
        return x
    parts = [_sliced(call, x, axis, n, n + 1) for n in first]
    parts += [x, *(_sliced(call, x, axis, n, n + 1) for n in last)]
    return call.add(ir.Concat(axis), *parts, part="padded")


def _cut(call: Call, x: Signal, pads: Pads) -> Signal:
    for axis, (before, after) in enumerate(pads):
        x = _sliced(call, x, axis, -before, x.shape[axis] + after)
    return x


def _sliced(call: Call, x: Signal, axis: int, start: int, stop: int) -> Signal:
    if (start, stop) == (0, x.shape[axis]):
        return x
    if start >= stop:
        raise call.refuse(f"padding that leaves nothing of axis {axis + 1}", "less cut off")
    return call.add(ir.Slice(axis, start, stop), x, part="cut")
