"""Events as pictures: frames in colours, for people to look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c.ir.fields import Array

from .frames import events_to_frames

OFF_COLOUR = np.array([213, 94, 0], np.float32)
ON_COLOUR = np.array([0, 114, 178], np.float32)
"""Of Okabe and Ito's palette: told apart by colour-blind people too."""


def events_to_grid(
    events: Any, sensor_size: tuple[int, ...] | None = None, n_bins: int = 5
) -> Array:
    """Events as ``n_bins`` pictures, white where nothing happened.

    Args:
        events: a structured array (N,); see ``event_fields``.
        sensor_size: (W, H) or (W, H, P); None: the smallest that holds them.
        n_bins: how many equal steps from the first event to the last.

    Returns:
        (n_bins, H, W, 3), uint8, RGB: bluer the more ON events, redder the more OFF events; the
        busiest pixel of each picture has the full colour.

    Raises:
        InputError: the events are none, or one lies beside the sensor.

    Example:
        >>> import numpy as np
        >>> from t1c.events.fields import EVENT
        >>> events = np.array([(0, 0, 0, True)], EVENT)
        >>> events_to_grid(events, (2, 1), n_bins=1)
        array([[[[  0, 114, 178],
                 [255, 255, 255]]]], dtype=uint8)
    """
    return frames_to_rgb(events_to_frames(events, sensor_size, n_frames=n_bins))


def frames_to_rgb(frames: Array) -> Array:
    """Frames (T, 1 or 2, H, W) as pictures (T, H, W, 3) of bytes; one channel is shown in blue."""
    most = frames.max(axis=(1, 2, 3), keepdims=True)
    share = (frames / np.maximum(most, np.finfo(np.float32).tiny)).astype(np.float32)[..., None]
    picture = np.full((*frames.shape[:1], *frames.shape[2:], 3), 255, np.float32)
    colours = [OFF_COLOUR, ON_COLOUR][-frames.shape[1] :]
    for channel, colour in enumerate(colours):
        picture -= share[:, channel] * (255 - colour)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
