"""A recording as one HTML file that plays it, with no network."""

from __future__ import annotations

import base64
import html
import json
import os
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from t1c.events import event_fields, events_to_frames
from t1c.ir.atomic import write_text
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array


def export_events_html(
    events: Any,
    path: str | os.PathLike[str],
    sensor_size: tuple[int, ...] | None = None,
    title: str = "Events",
    *,
    n_frames: int | None = None,
    window: int | None = None,
) -> Path:
    """Write a page that plays events: OFF in red, ON in blue, with a slider and the keyboard.

    Args:
        events: the structured array of a camera; see ``t1c.events.event_fields``.
        path: the file to write; it appears whole or not at all.
        sensor_size: (W, H) or (W, H, P); None: the smallest that holds them.
        title: of the page; it is text, never markup.
        n_frames: how many equal pictures; 100 if ``window`` is not given either.
        window: or how long each lasts, in the unit of the times.

    Returns:
        The path.

    Raises:
        InputError: the events are none, or one lies beside the sensor.
        OSError: the file cannot be written.

    Example:
        >>> export_events_html(recording.events, "hand.html")  # doctest: +SKIP
    """
    fields = event_fields(events)
    if fields.y is None:
        raise InputError(
            Problem(
                "events of an ear, which have no place on a sensor",
                "events with x and y",
                "plot_raster(events_to_raster(events)) shows them.",
            )
        )
    many = 100 if n_frames is None and window is None else n_frames
    frames = events_to_frames(events, sensor_size, n_frames=many, window=window)
    page = _template()
    data = {
        "steps": len(frames),
        "channels": frames.shape[1],
        "height": frames.shape[2],
        "width": frames.shape[3],
        "events": len(fields),
        "start": int(fields.t.min(initial=0)),
        "duration": int(np.ptp(fields.t)) if len(fields) else 0,
        "frames": _packed(frames),
    }
    for name, text in (("TITLE", html.escape(title)), ("DATA", _inside_script(data))):
        page = page.replace(f"<!--{name}-->", text)
    target = Path(path)
    write_text(target, page)
    return target


def _template() -> str:
    return resources.files(__package__).joinpath("player.html").read_text(encoding="utf-8")


def _inside_script(data: dict[str, Any]) -> str:
    """JSON that cannot end the script that holds it."""
    return json.dumps(data).replace("<", "\\u003c")


def _packed(frames: Array) -> str:
    """The pixels that are not 0, deflated, in base64.

    Of each step: how many there are (uint32); of all, one after the other: where (uint32, over
    channels, rows and columns); how much (uint8, at most 255).
    """
    flat = frames.reshape(len(frames), -1)
    step, place = np.nonzero(flat)
    counts = np.bincount(step, minlength=len(flat)).astype("<u4")
    many = np.minimum(flat[step, place], 255).astype(np.uint8)
    raw = counts.tobytes() + place.astype("<u4").tobytes() + many.tobytes()
    return base64.b64encode(zlib.compress(raw, 6)).decode("ascii")
