"""The bytes of a file: each is paid for once, so that no file costs more than its size."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

UNDEFINED = 2**64 - 1
"""The address of what is not there."""

_PAGE = 2**18


class H5Error(Exception):
    """What a file says of itself cannot be so; the message names the structure and its place."""


class OverspentError(H5Error):
    """Structures that lie upon one another: more was to be read than the file has bytes."""


class Source:
    """The bytes of an open file, from its superblock on.

    Args:
        descriptor: of a file open for reading; it is not closed.
        size: how many bytes it has.

    Attributes:
        descriptor: of the file.
        base: where the HDF5 file begins in the file; all addresses count from there.
        end: the address behind the last byte.
        left: how many bytes may still be read.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.base = 0
        self.end = self.left = size
        self._pages: dict[int, bytes] = {}

    def lies_between(self, base: int, end: int) -> None:
        """Say where in the file the HDF5 file lies; nothing outside is read any more."""
        self.base, self.end = base, end - base

    def holds(self, at: int, count: int) -> bool:
        """Whether so many bytes at an address are in the file."""
        return 0 <= at <= at + count <= self.end

    def pay(self, at: int, count: int, what: str) -> None:
        """Pay for bytes before they are read.

        Raises:
            H5Error: they are not in the file.
            OverspentError: all of the file was paid for already.
        """
        if not (at >= 0 and 0 <= count <= self.end - at):
            raise H5Error(f"{what} of {count:,} bytes at {at:,}, in a file of {self.end:,}")
        self.left -= count
        if self.left < 0:
            raise OverspentError(f"{what} at {at:,} lies upon what was read before")

    def take(self, at: int, count: int, what: str) -> bytes:
        """The bytes at an address; errors as ``pay``, and ``what`` names them there."""
        self.pay(at, count, what)
        at += self.base
        number, start = divmod(at, _PAGE)
        if start + count <= _PAGE:
            page = self._pages.get(number)
            if page is None:
                page = self._pages[number] = os.pread(self.descriptor, _PAGE, number * _PAGE)
            found = page[start : start + count]
        else:
            found = os.pread(self.descriptor, count, at)
        if len(found) == count:
            return found
        whole = bytearray(count)
        self._fill(at, memoryview(whole))
        return bytes(whole)

    def fill(self, at: int, array: npt.NDArray[Any], what: str) -> None:
        """Fill an array with the bytes at an address, without a second copy; errors as ``pay``."""
        self.pay(at, array.nbytes, what)
        if array.nbytes:
            self._fill(at + self.base, array.reshape(-1).view(np.uint8).data)

    def _fill(self, at: int, target: memoryview) -> None:
        done = 0
        while done < len(target):
            count = os.preadv(self.descriptor, [target[done : done + 2**30]], at + done)
            if not count:
                raise H5Error("the file became shorter while it was read")
            done += count


def bytes_for(most: int) -> int:
    """How many bytes HDF5 spends on a number of at most ``most``."""
    return max(most.bit_length() - 1, 0) // 8 + 1
