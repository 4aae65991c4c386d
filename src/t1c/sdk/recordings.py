"""A recording of a camera or an ear as samples: what a network for event data runs on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from t1c import ir
from t1c.events import Recording, events_to_frames, read_events
from t1c.events.files import READERS
from t1c.events.frames import Polarity
from t1c.ir.errors import InputError, Problem
from t1c.ir.npz import opened_npz
from t1c.ir.shapes import Shape
from t1c.nir.conventions import KEY, checked_dt

from .samples import Samples, read_samples

SUFFIXES = tuple(suffix for suffix in READERS if suffix != ".npz")
"""What is a recording by its name; an ``.npz`` holds samples, unless it holds t, x, y and p."""

DATA_SUFFIXES = (*SUFFIXES, ".npz")
"""What a network is run on: recordings, and files of samples."""

MICROSECONDS = 1_000_000


def is_recording(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds events: by its name or, of NumPy's files, by what is in it."""
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in (".npy", ".npz") or not file.is_file():
        return suffix in SUFFIXES
    try:
        with opened_npz(file) as loaded:
            if isinstance(loaded, np.ndarray):
                return loaded.dtype.names is not None
            return {"t", "x", "y", "p"} <= set(loaded.files)
    except Exception:  # damaged: the reader of samples says how
        return False


def read_data(
    path: str | os.PathLike[str],
    graph: ir.Graph,
    *,
    steps: int | None = None,
    dt: float | None = None,
    polarity: Polarity | None = None,
    sample: int | None = None,
    allow_nonfinite: bool = False,
) -> Samples:
    """What ``graph`` is to be run on, from a file of samples or a recording.

    Args:
        path: an ``.npz`` file of samples (see ``read_samples``), or what ``is_recording``.
        graph: whose Inputs it must fit.
        steps: of ``read_samples``; a recording is as long as it is.
        dt: of ``recording_samples``; samples are in steps, and leave it alone.
        polarity: of ``recording_samples``.
        sample: of ``recording_samples``.
        allow_nonfinite: of ``read_samples``.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it does not fit, or an option has nothing to act on.
        UnsupportedError: what reads the file is not installed.
    """
    if not is_recording(path):
        _refuse(path, "a file of samples", polarity=polarity, sample=sample)
        return read_samples(path, graph, steps=steps, allow_nonfinite=allow_nonfinite)
    _refuse(path, "a recording", steps=steps)
    return recording_samples(path, graph, dt=dt, polarity=polarity, sample=sample)


def _refuse(path: str | os.PathLike[str], kind: str, **options: object) -> None:
    """Refuse options that have nothing to act on."""
    for name, value in options.items():
        if value is not None:
            raise InputError(Problem(f"{name}={value!r} for {kind}", "None", where=str(path)))


def recording_samples(
    path: str | os.PathLike[str],
    graph: ir.Graph,
    *,
    dt: float | None = None,
    polarity: Polarity | None = None,
    sample: int | None = None,
) -> Samples:
    """One recording as one sample (T, 1, *shape) for the Input of ``graph``.

    The first step begins with the first event; the last may be shorter. Each number counts the
    events of a step on a pixel.

    Args:
        path: the recording; see ``t1c.events.read_events``.
        graph: whose one Input takes (2, H, W), OFF and ON; (1, H, W) or (H, W), with ``polarity``;
            or (channels,) of an ear.
        dt: seconds in one step, whole microseconds; None: what the graph remembers of the NIR file
            that it came from.
        polarity: for one channel: 'sum' counts both, 'on' or 'off' one of them.
        sample: which recording, in a file that holds many.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: dt is not known, the Input takes no such events, or the sensor is larger.
        UnsupportedError: what reads the file is not installed.

    Example:
        >>> recording_samples("hand.aedat4", graph, dt=1e-3)  # doctest: +SKIP
    """
    window = _window(dt, graph)
    shapes = {name: tuple(node.shape) for name, node in graph.inputs().items()}
    if len(shapes) != 1:
        raise InputError(
            Problem(f"a recording for {len(shapes)} Inputs", "one Input", where=str(path))
        )
    ((name, shape),) = shapes.items()
    recording = read_events(path, sample)
    if not len(recording.events):
        raise InputError(Problem("no events", "at least one", where=str(path)))
    try:
        size, chosen = _sensor(recording, shape, polarity)
        frames = events_to_frames(recording.events, size, window=window, polarity=chosen)
    except InputError as error:
        raise InputError(error.problems, str(path)) from None
    labels = None if recording.label is None else np.array([recording.label])
    return Samples({name: frames.reshape(len(frames), 1, *shape)}, labels)


def _window(dt: float | None, graph: ir.Graph) -> int:
    """How many microseconds a step has."""
    if dt is None:
        notes = graph.metadata.get(KEY)
        dt = notes.get("dt") if isinstance(notes, dict) else None
    if dt is None:
        raise InputError(
            Problem(
                "a recording, and nothing says how long a step is",
                "a time step",
                "Pass dt=... in seconds (--dt 1ms).",
            )
        )
    window = checked_dt(dt) * MICROSECONDS
    if round(window) < 1 or abs(window - round(window)) > 1e-6 * window:
        raise InputError(
            Problem(f"dt={dt} s", "whole microseconds, in which events are timed", field="dt")
        )
    return round(window)


def _sensor(
    recording: Recording, shape: Shape, polarity: Polarity | None
) -> tuple[tuple[int, int], Polarity]:
    """(W, H) of the Input, and how polarities become its channels."""
    ear = "y" not in (recording.events.dtype.names or ())
    if ear:
        return _ear(shape, polarity)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] not in (1, 2)):
        raise InputError(
            Problem(
                f"events of a camera for an Input of shape {shape}",
                "(2, H, W), (1, H, W) or (H, W)",
            )
        )
    size = (int(shape[-1]), int(shape[-2]))
    sensor = recording.sensor_size
    if sensor is not None and (sensor[0] > size[0] or sensor[1] > size[1]):
        raise InputError(
            Problem(
                f"a sensor of {sensor[0]} x {sensor[1]} for an Input of {size[0]} x {size[1]}",
                "a sensor that is no larger",
                "Crop or scale x and y of t1c.events.read_events(...).events as in training, and "
                "save them with np.save.",
            )
        )
    if len(shape) == 3 and shape[0] == 2:
        if polarity not in (None, "both"):
            raise InputError(Problem(f"polarity={polarity!r} for two channels", "both"))
        return size, "both"
    if polarity not in ("sum", "on", "off"):
        raise InputError(
            Problem(
                f"two polarities for one channel, of an Input of shape {shape}",
                "a choice",
                "Pass polarity='sum', 'on' or 'off' (--polarity sum).",
            )
        )
    return size, polarity


def _ear(shape: Shape, polarity: Polarity | None) -> tuple[tuple[int, int], Polarity]:
    if polarity is not None:
        raise InputError(Problem(f"polarity={polarity!r} for events that have none", "None"))
    if len(shape) == 1 or (len(shape) == 2 and shape[0] == 1):
        return (int(shape[-1]), 1), "sum"
    raise InputError(
        Problem(f"events of an ear for an Input of shape {shape}", "(channels,) or (1, channels)")
    )
