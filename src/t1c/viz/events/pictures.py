"""Events and frames as pictures: OFF in red, ON in blue, white where nothing happened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from t1c.events import event_fields, events_to_frames
from t1c.events.grid import frames_to_rgb
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.viz.spikes.arrays import as_numpy, new_axes, new_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_events(
    events: Any,
    sensor_size: tuple[int, ...] | None = None,
    ax: Axes | None = None,
    *,
    start: int | None = None,
    end: int | None = None,
    title: str = "",
) -> Axes:
    """Draw where events fell: those of a camera on its sensor, those of an ear over time.

    Args:
        events: a structured array; see ``t1c.events.event_fields``.
        sensor_size: (W, H) or (W, H, P); None: the smallest that holds them.
        ax: where to draw; None: in a new figure.
        start: events before it are left out, in the unit of their times.
        end: events from then on are left out.
        title: above the axes.

    Returns:
        The axes.

    Raises:
        InputError: the events are none, or one lies beside the sensor.
        UnsupportedError: matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from t1c.events.fields import EVENT
        >>> ax = plot_events(np.array([(1, 0, 10, True), (0, 1, 12, False)], EVENT))
        >>> ax.get_images()[0].get_array().shape
        (2, 2, 3)
    """
    fields = event_fields(events)
    ax = new_axes() if ax is None else ax
    if fields.y is None:
        kept = np.ones(len(fields), bool)
        kept &= fields.t >= (start if start is not None else fields.t.min(initial=0))
        kept &= fields.t < end if end is not None else True
        ax.scatter(fields.t[kept], fields.x[kept], s=2, color="#0072B2", linewidths=0)
        ax.set_xlabel("time")
        ax.set_ylabel("channel")
    else:
        frames = events_to_frames(events, sensor_size, n_frames=1, start=start, end=end)
        ax.imshow(frames_to_rgb(frames)[0], interpolation="nearest")
        ax.set_xlabel("x")
        ax.set_ylabel("y")
    ax.set_title(title)
    return ax


def plot_frames(
    frames: Any, axes: Any = None, *, columns: int = 8, most: int = 32, title: str = ""
) -> Array:
    """Draw frames beside one another, each with its step above it.

    Args:
        frames: (T, 1 or 2, H, W), or (T, H, W).
        axes: an array of at least as many axes as are drawn; None: those of a new figure.
        columns: pictures in a row of a new figure.
        most: pictures at most; of longer sequences that many steps are shown, evenly spaced.
        title: above the figure.

    Returns:
        The axes that were drawn on, (pictures,).

    Raises:
        InputError: the frames have another shape, or there are too few axes.
        UnsupportedError: matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> plot_frames(np.ones((3, 2, 4, 4))).shape
        (3,)
    """
    array = as_numpy(frames)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] not in (1, 2) or not array.size:
        raise InputError(
            Problem(f"frames of shape {array.shape}", "(T, 1 or 2, H, W), or (T, H, W)")
        )
    if array.min() < 0:
        raise InputError(Problem(f"frames with {array.min()}", "counts, which are at least 0"))
    steps = np.unique(np.linspace(0, len(array) - 1, min(most, len(array))).round().astype(int))
    if axes is None:
        across = min(columns, len(steps))
        rows = math.ceil(len(steps) / across)
        axes = new_grid(rows, across, (1.6 * across, 1.8 * rows))
    flat = np.asarray(axes, object).ravel()
    if len(flat) < len(steps):
        raise InputError(Problem(f"{len(flat)} axes for {len(steps)} pictures", "as many"))
    pictures = frames_to_rgb(array[steps])
    for step, ax, picture in zip(steps, flat, pictures, strict=False):
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(f"{step}", fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_color("0.85")
    for ax in flat[len(steps) :]:
        ax.set_axis_off()
    if title:
        flat[0].figure.suptitle(title)
    drawn: Array = flat[: len(steps)]
    return drawn
