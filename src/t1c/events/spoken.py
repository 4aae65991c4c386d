"""Spiking Heidelberg Digits and Speech Commands (``.h5``): many recordings of an ear in one file.

``spikes/times`` and ``spikes/units`` hold an array for each recording, ``labels`` its class
(Cramer et al. 2020, https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from t1c.ir import h5
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.ir.hdf5_guard import LARGE, MOST_COMPRESSED

from .fields import CHANNEL_EVENT

MICROSECONDS = 1_000_000


def read_spoken(path: Path, sample: int | None) -> tuple[Array, tuple[int, int], int | None]:
    """One recording of a file, its times in microseconds; 700 channels.

    Raises:
        InputError: it is no such file, or ``sample`` is not said or is beyond its end.
    """
    try:
        with open(path, "rb", buffering=0) as raw:
            times, units, label = _read(h5.File(raw.fileno()), path, sample)
    except (h5.H5Error, OSError) as cause:
        raise InputError(
            Problem(f"what HDF5 cannot read ({cause})", "an .h5 file", "", str(path))
        ) from cause
    events = np.empty(len(times), CHANNEL_EVENT)
    events["x"] = units
    # The file holds halves of 16 bits: the product must not be taken in them.
    events["t"] = np.rint(np.asarray(times, np.float64) * MICROSECONDS)
    return events, (700, 1), label


def _read(file: h5.File, path: Path, sample: int | None) -> tuple[Array, Array, int | None]:
    """Times in seconds, units and label of a recording."""
    spikes = _within(file, file.root, "spikes")
    known = isinstance(spikes, h5.Group)
    times, units = (_within(file, spikes, name) if known else None for name in ("times", "units"))
    if not isinstance(times, h5.Dataset) or not isinstance(units, h5.Dataset):
        names = ", ".join(map(str, file.root.links))[:200]
        raise InputError(
            Problem(
                f"an HDF5 file with {names or 'nothing in it'}",
                "spikes/times and spikes/units, as the Heidelberg data sets have them",
                "",
                str(path),
            )
        )
    count = times.shape[0] if times.shape else 0
    if sample is None or not 0 <= sample < count:
        raise InputError(
            Problem(
                f"sample={sample} of a file with {count} recordings",
                f"one from 0 to {count - 1}",
                "",
                str(path),
            )
        )
    if units.shape != times.shape:
        raise h5.H5Error(f"times of {times.shape} recordings and units of {units.shape}")
    found = [_affordable(file, data).part(sample) for data in (times, units)]
    if len(found[0]) != len(found[1]):
        raise h5.H5Error(f"{len(found[0]):,} times and {len(found[1]):,} units")
    labels = _within(file, file.root, "labels")
    label = None
    if isinstance(labels, h5.Dataset) and labels.type.dtype.kind in "iu":
        if labels.shape != times.shape:
            raise h5.H5Error(f"labels of {labels.shape} recordings of {count}")
        label = int(_affordable(file, labels).numbers()[sample])
    return found[0], found[1], label


def _within(file: h5.File, group: Any, name: str) -> h5.Group | h5.Dataset | None:
    """What a name in a group leads to; links are not followed."""
    link = group.links.get(name)
    return file.open(link.address, name) if link is not None and link.is_hard else None


def _affordable(file: h5.File, data: h5.Dataset) -> h5.Dataset:
    """The dataset, if there is no less of it in the file than it says."""
    most = data.stored * (MOST_COMPRESSED if data.filters else 1)
    if data.elsewhere or data.unknown_filter or data.declared > min(most, LARGE + file.source.end):
        raise h5.H5Error(f"{data.declared:,} bytes declared, {data.stored:,} stored")
    return data
