"""NumPy's archives (``.npz``), which are hostile until proven otherwise.

An archive says twice how large an array is: as a member of a zip file, and in the array's own
header. NumPy allocates what the header says before it reads, and unpacks what the zip says without
asking whether that is worth its size. So both are compared here, with each other and with the file,
before NumPy is handed it. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from .errors import InputError, Problem

LARGE, MOST_UNPACKED = 2**26, 256
"""An archive unpacks to no more than the first, or the second times its size: spikes pack well, but
not to a thousandth, which deflate makes of zeros."""

_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # what NumPy takes for an archive
_PACKED_WITH = {12: "bzip2", 14: "lzma", 93: "zstd"}
_ENCRYPTED = 1
UNREADABLE = (
    ValueError, EOFError, KeyError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What NumPy, zipfile and zlib raise for a file that is damaged or something else."""


@contextlib.contextmanager
def opened_npz(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The arrays of a file, each read when it is asked for; no more of them than the file is worth.

    Args:
        path: the file.

    Yields:
        What ``np.load`` gives: an ``NpzFile``, or an array where the file holds one without a name.

    Raises:
        InputError: the archive says more than it holds.
        OSError: it cannot be opened.
        Exception: one of ``UNREADABLE``: it is damaged, or something else.

    Example:
        >>> with opened_npz("samples.npz") as arrays:  # doctest: +SKIP
        ...     x = arrays["x"]
    """
    with open(path, "rb") as file:
        if file.read(4) in _STARTS:
            try:
                _check(file, str(path))
            except OSError as cause:  # zipfile goes where the archive says, be it before its start
                raise ValueError(f"a damaged archive ({cause})") from cause
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
            return
    # Mapped, so that a shape that lies is found out before there is memory for it.
    yield np.load(path, mmap_mode="r", allow_pickle=False)


def _check(file: IO[bytes], path: str) -> None:
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        packed = sum(member.compress_size for member in members)
        unpacked = sum(member.file_size for member in members)
        most = max(LARGE, MOST_UNPACKED * size)
        if packed > size or unpacked > most:
            raise InputError(
                Problem(
                    f"{unpacked:,} bytes unpacked, {packed:,} packed, in a file of {size:,}",
                    f"at most {most:,} unpacked",
                    "Save it with np.savez, unpacked.",
                    path,
                )
            )
        for member in members:
            _check_member(archive, member, path)


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> None:
    where = f"{path}, array {member.filename.removesuffix('.npy')[:200]!r}"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        how = _PACKED_WITH.get(member.compress_type, f"method {member.compress_type}")
        raise InputError(Problem(f"packed with {how}", "deflated, or not packed", where=where))
    if member.flag_bits & _ENCRYPTED:
        raise InputError(Problem("encrypted", "an array that can be read", where=where))
    if not member.filename.endswith(".npy"):
        return  # NumPy gives its bytes, which are as many as the zip says
    try:
        with archive.open(member) as data:
            version = npy.read_magic(data)
            parse = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = parse(data)
            stated = data.tell() + math.prod(shape) * dtype.itemsize
    except UNREADABLE:
        return  # who asks for it is told so
    if stated != member.file_size and not dtype.hasobject:
        raise InputError(
            Problem(
                f"{stated:,} bytes declared, {member.file_size:,} stored",
                "as much data as the shape says",
                where=where,
            )
        )
