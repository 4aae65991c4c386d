"""Recordings from files: which kind a file is, and what reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

from .aedat3 import read_aedat3
from .arrays import read_npy, read_npz
from .atis import read_atis
from .faery_files import read_by_faery
from .fields import event_fields
from .spoken import read_spoken


@dataclass(frozen=True)
class Recording:
    """What a camera or an ear saw.

    Attributes:
        events: a structured array (N,) in the order of time, with x, y, t and p (x and t of an
            ear); t in microseconds, p False for OFF.
        sensor_size: (W, H), where the file says it.
        label: the class, where the file says it.
    """

    events: Array
    sensor_size: tuple[int, int] | None = None
    label: int | None = None

    @property
    def duration(self) -> int:
        """From the first event to the last, in microseconds."""
        t = self.events["t"]
        return int(t[-1] - t[0]) if len(t) else 0


READERS: dict[
    str, Callable[[Path, int | None], tuple[Array, tuple[int, int] | None, int | None]]
] = {
    ".aedat": read_aedat3,
    ".aedat4": read_by_faery,
    ".raw": read_by_faery,
    ".dat": read_by_faery,
    ".es": read_by_faery,
    ".bin": read_atis,
    ".npy": read_npy,
    ".npz": read_npz,
    ".h5": read_spoken,
    ".hdf5": read_spoken,
}
"""Suffix -> what reads such a file: (path, sample) -> events, (W, H) and label."""


def read_events(path: str | os.PathLike[str], sample: int | None = None) -> Recording:
    """Read a recording.

    ======================  =======================================================================
    ``.aedat4``             iniVation's cameras (DV); by the package ``faery``
    ``.raw``, ``.dat``      Prophesee's cameras (EVT 2 and 3; DAT), whose header must say which; by
                            ``faery``, which reads what is cut off as far as it goes
    ``.es``                 Event Stream; by ``faery``
    ``.aedat``              AEDAT 3.1, the form of DVS128 Gesture
    ``.bin``                ATIS, the form of N-MNIST and N-Caltech101
    ``.npy``                a structured array; see ``event_fields``
    ``.npz``                arrays t, x, y and p, as SpikingJelly keeps its data sets
    ``.h5``, ``.hdf5``      Spiking Heidelberg Digits and Speech Commands: one ``sample`` of many;
                            times in seconds become microseconds, rounded
    ======================  =======================================================================

    Args:
        path: the file; its suffix says what it is.
        sample: which recording, in a file that holds many.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: nothing is known that reads such a file, it is damaged, or needs ``sample``.
        UnsupportedError: what reads it is not installed.

    Example:
        >>> recording = read_events("recording.aedat4")  # doctest: +SKIP
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r}")
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise InputError(
            Problem(
                f"a file with the suffix {file.suffix!r}",
                f"one of {', '.join(READERS)}",
                "Read it with what its maker gives, and save it with np.save as a structured "
                "array with the fields t, x, y and p.",
                where=str(path),
            )
        )
    events, size, label = reader(file, sample)
    if sample is not None and reader is not read_spoken:
        raise InputError(
            Problem(f"sample={sample} for a file of one recording", "None", where=str(path))
        )
    event_fields(events)
    t = events["t"]
    if len(t) > 1 and (t[1:] < t[:-1]).any():
        # Cameras hand over packets of several readers: in order within, not among each other.
        events = events[np.argsort(t, kind="stable")]
    return Recording(events, size, label)
