"""Events as a raster: one row for each address, whatever the sensor's form."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c.ir.fields import Array

from .counting import count_events, outside, steps_of
from .fields import event_fields, size_of


def events_to_raster(
    events: Any,
    n_neurons: int | None = None,
    time_bins: int | None = None,
    *,
    sensor_size: tuple[int, ...] | None = None,
    window: int | None = None,
    start: int | None = None,
    end: int | None = None,
) -> Array:
    """Count the events of each address in each step, polarities together.

    Args:
        events: a structured array (N,); see ``event_fields``.
        n_neurons: how many addresses an ear has; None: as many as the events need.
        time_bins: T, the number of equal steps from ``start`` to ``end``; 100 if ``window`` is not
            given either.
        sensor_size: (W, H) or (W, H, P) of a camera, whose event has the address ``y * W + x``;
            None: the smallest that holds them.
        window: or the length of one step, in the unit of ``t``.
        start: when the first step begins; None: with the first event.
        end: when the last one ends; None: behind the last event.

    Returns:
        (T, n_neurons), float32: what ``plot_raster`` takes.

    Raises:
        InputError: the events are none, or have addresses beyond ``n_neurons``.

    Example:
        >>> import numpy as np
        >>> ear = np.array([(3, 0), (3, 9), (0, 5)], dtype=[("x", "i2"), ("t", "i8")])
        >>> events_to_raster(ear, time_bins=2)
        array([[0., 0., 0., 1.],
               [1., 0., 0., 1.]], dtype=float32)
    """
    fields = event_fields(events)
    width, height = size_of(fields, sensor_size)
    neurons = width * height if n_neurons is None else int(n_neurons)

    def place(block: slice) -> Array:
        at = fields.x[block].astype(np.int64)
        if int(at.max()) >= width and fields.y is not None:
            raise outside("x", int(at.max()), width)
        if fields.y is not None:
            at += fields.y[block].astype(np.int64) * width
        if int(at.max()) >= neurons:
            raise outside("address", int(at.max()), neurons)
        return at

    bins = 100 if time_bins is None and window is None else time_bins
    steps = steps_of(fields.t, bins, window, start, end)
    return count_events(steps, fields.t, neurons, place, np.dtype(np.float32))
