"""Large arrays that share their bytes until somebody writes to one.

The bytes lie once: in the file that they came from, or in memory that has a descriptor as a file
has. Every holder sees them through a private mapping, so that a page is copied when it is first
written to, for that holder alone. What a graph read and what an executor trains are so one copy,
and neither sees what is done to the other.
"""

from __future__ import annotations

import math
import mmap
import os
import threading
import weakref
from bisect import bisect
from typing import Any

import numpy as np

from .fields import Array

LEAST = 2**16
"""Bytes from which an array is worth the pages that it lies on."""
LINE = 64
"""Bytes of which large arrays begin at a multiple, as processors like it."""
_PIECE = 2**18


class Bytes:
    """Bytes with a descriptor, to which nobody writes.

    Args:
        descriptor: of a file, or of memory; closed once nothing needs it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._views: list[weakref.ref[_View]] = []
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, descriptor)

    def array(self, begin: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array of its own, whose elements are the bytes from ``begin`` on.

        Raises:
            OSError: the process has no address or descriptor left.
            ValueError: there are not so many bytes.
        """
        count = math.prod(shape)
        view = self._view(begin, begin + count * dtype.itemsize)
        return np.frombuffer(view, dtype, count, begin).reshape(shape)

    def _view(self, begin: int, end: int) -> _View:
        """A mapping in which nobody held anything between these places; now the caller does."""
        with self._lock:
            live = [view for ref in self._views if (view := ref()) is not None]
            found = next((view for view in live if view.take(begin, end)), None)
            if found is None:
                found = _View(self._descriptor, 0, access=mmap.ACCESS_COPY)
                found.of, found.taken = self, []
                found.take(begin, end)
                live.append(found)
            self._views = list(map(weakref.ref, live))
            return found


class Memory(Bytes):
    """Memory of this process, into which parts of a file are copied.

    Args:
        size: bytes of the file.

    Raises:
        OSError: the system has no such thing, or no room.
    """

    def __init__(self, size: int) -> None:
        if not hasattr(os, "memfd_create"):
            raise OSError("this system has no memory with a descriptor")
        super().__init__(os.memfd_create("t1c"))
        # Each part begins on a line of its own.
        os.ftruncate(self._descriptor, size + (size // LEAST + 1) * LINE)
        self._end = 0

    def copy(
        self, descriptor: int, begin: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        """An array whose elements are the bytes of the file from ``begin`` on.

        Raises:
            OSError: they cannot be read.
        """
        to, left = self._end, math.prod(shape) * dtype.itemsize
        self._end = -(-(to + left) // LINE) * LINE
        os.lseek(self._descriptor, to, os.SEEK_SET)
        while left:
            done = os.sendfile(self._descriptor, descriptor, begin, left)
            if not done:
                raise OSError("the file ends before its data do")
            begin, left = begin + done, left - done
        return self.array(to, shape, dtype)


class _View(mmap.mmap):
    """A private mapping of all the bytes.

    Attributes:
        of: what is mapped.
        taken: the begin and the end of each part that somebody holds, in order.
    """

    of: Bytes
    taken: list[int]

    def take(self, begin: int, end: int) -> bool:
        """Hold a part, if nobody holds any of it."""
        at = bisect(self.taken, begin)
        if at % 2 or (at < len(self.taken) and self.taken[at] < end):
            return False
        self.taken[at:at] = [begin, end]
        return True


def own(array: Array) -> Array:
    """The same numbers in an array that nobody else writes to or sees written to.

    Where they lie in ``Bytes`` they are not copied before somebody writes to them.
    """
    view = _view_of(array)
    if view is None or not array.flags.c_contiguous:
        return np.array(array)
    begin = _address(array) - _address(np.frombuffer(view, np.uint8))
    try:
        mine = view.of.array(begin, array.shape, array.dtype)
    except OSError:
        return np.array(array)
    # Who may write to it may have done so, and the bytes below do not know.
    return np.array(array) if array.flags.writeable and not _same(mine, array) else mine


def lock(array: Array) -> None:
    """Have nobody write to an array that shares its bytes, before anybody has."""
    if _view_of(array) is not None:
        array.flags.writeable = False


def _view_of(array: Any) -> _View | None:
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array if isinstance(array, _View) else None


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays that lie in one piece hold the same bytes."""
    x, y = (side.reshape(-1).view(np.uint8) for side in (a, b))
    return all(
        np.array_equal(x[at : at + _PIECE], y[at : at + _PIECE]) for at in range(0, len(x), _PIECE)
    )
