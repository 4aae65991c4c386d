"""Damage in an HDF5 file that the HDF5 library answers by reading for ever.

Text lies in *global heap collections*: blocks that begin with ``GCOL`` and hold objects one behind
the other, each saying its own size. The library walks them without asking whether a size leads
anywhere: a free object of size 0 is an endless loop (seen with HDF5 1.14 and 2.0). Nothing in h5py
can interrupt that, so collections are walked here before the library sees the file.
"""

from __future__ import annotations

import mmap
import os
import struct

_SIGNATURE = b"GCOL\x01\0\0\0"
_HEADER, _OBJECT = 16, 16


def endless_heap(path: str | os.PathLike[str]) -> bool:
    """Whether a walk through one of the file's global heap collections would not end.

    Taken for a collection is whatever looks like the beginning of one; all sizes have 8 bytes, as
    in every file whose ``get_sizes()`` is (8, 8).
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = data.find(_SIGNATURE)
            while start >= 0:
                if _endless(data, start):
                    return True
                start = data.find(_SIGNATURE, start + len(_SIGNATURE))
    return False


def _endless(data: mmap.mmap, start: int) -> bool:
    if start + _HEADER > len(data):
        return False
    (size,) = struct.unpack_from("<Q", data, start + 8)
    end = start + size
    if end > len(data):
        return False  # the library sees this itself
    at = start + _HEADER
    while at + _OBJECT <= end:
        index, _, _, length = struct.unpack_from("<HHIQ", data, at)
        needed = _OBJECT + (length + 7) // 8 * 8 if index else length
        if needed == 0 or at + needed > end:
            return True
        at += needed
    return False
