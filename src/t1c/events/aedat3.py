"""AEDAT 3.1 files (``.aedat``): DVS128 Gesture.

A text header, then packets as iniVation defines them: 28 bytes that say what and how many, and the
events. Polarity events have eight bytes: valid (1 bit), polarity (1), y (15), x (15), and the lower
31 bits of a time in microseconds.
https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

from .fields import EVENT

VERSION = b"#!AER-DAT3.1"
HEADER = np.dtype(
    [
        ("type", "<i2"),
        ("source", "<i2"),
        ("size", "<i4"),
        ("offset", "<i4"),
        ("overflow", "<i4"),
        ("capacity", "<i4"),
        ("number", "<i4"),
        ("valid", "<i4"),
    ]
)
POLARITY = 1


def read_aedat3(path: Path, _: int | None) -> tuple[Array, None, None]:
    """The valid polarity events of an AEDAT 3.1 file.

    Raises:
        InputError: it is of another version, or is cut off.
    """
    data = path.read_bytes()
    first = data.split(b"\n", 1)[0].strip()
    if first != VERSION:
        raise InputError(
            Problem(
                f"a header that begins with {first[:40]!r}",
                VERSION.decode(),
                "AEDAT 4 files have the suffix .aedat4; older ones are read by tonic.io.",
                str(path),
            )
        )
    at = 0
    while data[at : at + 1] == b"#":
        end = data.find(b"\n", at)
        if end < 0:
            raise _cut_off(path)
        line, at = data[at:end].strip(), end + 1
        if line == b"#!END-HEADER":
            break
    found = []
    while at < len(data):
        if at + HEADER.itemsize > len(data):
            raise _cut_off(path)
        header = np.frombuffer(data, HEADER, 1, at)[0]
        at += HEADER.itemsize
        size, capacity, number = int(header["size"]), int(header["capacity"]), int(header["number"])
        if size < 1 or not 0 <= number <= capacity or at + size * capacity > len(data):
            raise _cut_off(path)
        if header["type"] == POLARITY and size == 8:
            words = np.frombuffer(data, "<u4", 2 * number, at).reshape(-1, 2)
            found.append(_polarity(words, int(header["overflow"])))
        at += size * capacity
    return (np.concatenate(found) if found else np.empty(0, EVENT)), None, None


def _polarity(words: Array, overflow: int) -> Array:
    words = words[words[:, 0] & 1 == 1]
    events = np.empty(len(words), EVENT)
    events["p"] = words[:, 0] >> 1 & 1
    events["y"] = words[:, 0] >> 2 & 0x7FFF
    events["x"] = words[:, 0] >> 17 & 0x7FFF
    events["t"] = words[:, 1].astype(np.int64) + (overflow << 31)
    return events


def _cut_off(path: Path) -> InputError:
    return InputError(Problem("a packet that does not fit", "whole packets", "", str(path)))
