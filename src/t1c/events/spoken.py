"""Spiking Heidelberg Digits and Speech Commands (``.h5``): many recordings of an ear in one file.

``spikes/times`` and ``spikes/units`` hold an array for each recording, ``labels`` its class
(Cramer et al. 2020, https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/).
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

from .fields import CHANNEL_EVENT

MICROSECONDS = 1_000_000


def read_spoken(path: Path, sample: int | None) -> tuple[Array, tuple[int, int], int | None]:
    """One recording of a file, its times in microseconds; 700 channels.

    Raises:
        InputError: it is no such file, or ``sample`` is not said or is beyond its end.
    """
    try:
        with h5py.File(path, "r") as file:
            spikes = file.get("spikes")
            if not isinstance(spikes, h5py.Group) or not {"times", "units"} <= set(spikes):
                raise InputError(
                    Problem(
                        f"an HDF5 file with {', '.join(file) or 'nothing in it'}",
                        "spikes/times and spikes/units, as the Heidelberg data sets have them",
                        "",
                        str(path),
                    )
                )
            count = len(spikes["times"])
            if sample is None or not 0 <= sample < count:
                raise InputError(
                    Problem(
                        f"sample={sample} of a file with {count} recordings",
                        f"one from 0 to {count - 1}",
                        "",
                        str(path),
                    )
                )
            times, units = spikes["times"][sample], spikes["units"][sample]
            label = int(file["labels"][sample]) if "labels" in file else None
    except OSError as cause:
        raise InputError(
            Problem(f"what HDF5 cannot read ({cause})", "an .h5 file", "", str(path))
        ) from cause
    events = np.empty(len(times), CHANNEL_EVENT)
    events["x"] = units
    # The file holds halves of 16 bits: the product must not be taken in them.
    events["t"] = np.rint(np.asarray(times, np.float64) * MICROSECONDS)
    return events, (700, 1), label
