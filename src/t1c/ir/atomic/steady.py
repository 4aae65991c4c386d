"""A file that never fails while HDF5 writes it: what the system refuses is told afterwards.

Where a disk is full, HDF5 cannot close what it has open, and may end the process (seen with HDF5
2.0: an address that is not there). So it writes through this, which takes all that it is given and
remembers what went wrong.
"""

from __future__ import annotations

import os
from pathlib import Path

KEPT = 2**16
"""Blocks up to this size are remembered where they cannot be written: HDF5 reads back what it needs
to find its way, and no data."""


class Steady:
    """A new file, opened to be written and read by h5py.

    Attributes:
        failure: the first thing that went wrong, an interruption included; None while all is well.
    """

    def __init__(self, path: Path) -> None:
        self.failure: BaseException | None = None
        self._file = os.open(path, os.O_RDWR | os.O_TRUNC)
        self._at = 0
        self._lost: dict[int, bytes] = {}

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: what went wrong, now or before.
        """
        try:
            os.close(self._file)
        finally:
            if self.failure is not None:
                raise self.failure

    # What h5py asks of a file ---------------------------------------------------------------

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        self._at = (self._size() if start is None else start) + offset
        return self._at

    def tell(self) -> int:
        """As of any file."""
        return self._at

    def write(self, data: memoryview | bytes) -> int:
        """Write all of ``data``, or remember that it could not be."""
        rest = memoryview(data).cast("B")
        size, at = len(rest), self._at
        self._at += size
        try:
            while self.failure is None and len(rest):
                done = os.pwrite(self._file, rest, at)
                rest, at = rest[done:], at + done
        except BaseException as cause:
            self.failure = cause
        if len(rest) and size <= KEPT:
            self._lost[self._at - size] = bytes(data)
        return size

    def readinto(self, into: memoryview) -> int:
        """Read back what was written; zeros where nothing was."""
        whole = memoryview(into).cast("B")
        size, at = len(whole), self._at
        self._at += size
        found = b""
        try:
            found = os.pread(self._file, size, at)
        except BaseException as cause:
            self.failure = self.failure or cause
        whole[:] = found + bytes(size - len(found))
        for start, data in self._lost.items():
            first, last = max(start, at), min(start + len(data), at + size)
            if first < last:
                whole[first - at : last - at] = data[first - start : last - start]
        return size

    def read(self, size: int = -1) -> bytes:
        """As of any file; h5py takes what has no such method for a name."""
        found = bytearray(max(self._size() - self._at, 0) if size < 0 else size)
        self.readinto(memoryview(found))
        return bytes(found)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file off, or make it longer."""
        size = self._at if size is None else size
        try:
            if self.failure is None:
                os.ftruncate(self._file, size)
        except BaseException as cause:
            self.failure = cause
        return size

    def flush(self) -> None:
        """Nothing is held back."""

    def _size(self) -> int:
        ends = [start + len(data) for start, data in self._lost.items()]
        return max([os.fstat(self._file).st_size, *ends])
