"""Events as frames: how many fell on each pixel in each step, which is what networks take."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

from .counting import count_events, outside, steps_of
from .fields import EventFields, binary_polarity, event_fields, size_of

Polarity = Literal["both", "sum", "on", "off"]


def events_to_frames(
    events: Any,
    sensor_size: tuple[int, ...] | None = None,
    *,
    n_frames: int | None = None,
    window: int | None = None,
    start: int | None = None,
    end: int | None = None,
    polarity: Polarity = "both",
    binary: bool = False,
    dtype: DTypeLike = np.float32,
) -> Array:
    """Count events into frames.

    Args:
        events: a structured array (N,); see ``event_fields``.
        sensor_size: (W, H) or Tonic's (W, H, P); None: the smallest that holds them.
        n_frames: T, the number of equal steps from ``start`` to ``end``.
        window: or the length of one step, in the unit of ``t``; T is then as large as it must be,
            and the last step may be shorter.
        start: when the first step begins; None: with the first event.
        end: when the last one ends; None: behind the last event. Events outside are left out.
        polarity: 'both': a channel for OFF and one for ON, in this order, as Tonic has it; 'sum':
            one channel that counts both; 'on' or 'off': one that counts these alone.
        binary: whether there were any, in the place of how many.
        dtype: of the frames.

    Returns:
        (T, P, H, W), with one row (H = 1) for ears and one channel (P = 1) without polarity.

    Raises:
        InputError: the events are none, one lies beside the sensor, or the steps are not said.

    Example:
        >>> import numpy as np
        >>> events = np.array([(0, 1, 0, 1), (0, 1, 5, 1), (1, 0, 19, 0)],
        ...                   dtype=[("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")])
        >>> frames = events_to_frames(events, (2, 2), window=10)
        >>> frames.shape, frames[0, 1, 1, 0], frames[1, 0, 0, 1]
        ((2, 2, 2, 2), np.float32(2.0), np.float32(1.0))
    """
    fields = event_fields(events)
    if polarity not in ("both", "sum", "on", "off"):
        raise InputError(Problem(f"polarity={polarity!r}", "both, sum, on or off"))
    if fields.p is None and polarity in ("on", "off"):
        raise InputError(Problem(f"polarity={polarity!r} for events that have none", "both or sum"))
    width, height = size_of(fields, sensor_size)
    if polarity in ("on", "off") and fields.p is not None:
        kept = binary_polarity(fields.p) == (polarity == "on")
        y = None if fields.y is None else fields.y[kept]
        # Which steps there are does not depend on what is counted.
        start, end = _borders(fields.t, start, end)
        fields = EventFields(fields.t[kept], fields.x[kept], y, None)
    channels = 2 if fields.p is not None and polarity == "both" else 1

    def place(block: slice) -> Array:
        x = fields.x[block]
        if int(x.max()) >= width:
            raise outside("x", int(x.max()), width)
        at = np.zeros(len(x), np.int64)
        if channels == 2 and fields.p is not None:
            at += binary_polarity(fields.p[block])
            at *= height
        if fields.y is not None:
            y = fields.y[block]
            if int(y.max()) >= height:
                raise outside("y", int(y.max()), height)
            at += y
        at *= width
        at += x
        return at

    steps = steps_of(fields.t, n_frames, window, start, end)
    counted = count_events(steps, fields.t, channels * height * width, place, np.dtype(dtype))
    if binary:
        np.minimum(counted, 1, out=counted)
    return counted.reshape(steps.count, channels, height, width)


def _borders(t: Array, start: int | None, end: int | None) -> tuple[int | None, int | None]:
    if not len(t):
        return start, end
    return (int(t.min()) if start is None else start), (int(t.max()) + 1 if end is None else end)
