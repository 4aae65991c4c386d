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
from heapq import heappop, heappush

# Signature and version; the three bytes that follow are reserved, and the library skips them.
_SIGNATURE = b"GCOL\x01"
_HEADER, _OBJECT = struct.Struct("<8xQ"), struct.Struct("<HHIQ")


def longest_object(path: str | os.PathLike[str]) -> int | None:
    """The size of the largest object in the file's global heaps: no text is longer.

    None if a walk through one of the collections would not end, or would leave it. Taken for a
    collection is whatever looks like the beginning of one; all sizes have 8 bytes, as in every
    file whose ``get_sizes()`` is (8, 8).
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _walk(data)


def _walk(data: mmap.mmap) -> int | None:
    """Walk all collections at once, from the beginning of the file to its end.

    Collections that overlap, which none but a hostile file has many of, meet where they have
    objects in common and go on as one: so each place is looked at once, however many lead there.
    """
    longest = 0
    # Where walks have got to, the first on top; and where the collections end that are walked
    # from there, the first on top.
    places: list[int] = []
    ends_at: dict[int, list[int]] = {}

    def go_on(at: int, ends: list[int]) -> None:
        met = ends_at.get(at)
        if met is None:
            heappush(places, at)
            ends_at[at] = ends
            return
        more, fewer = (met, ends) if len(met) > len(ends) else (ends, met)
        for end in fewer:
            heappush(more, end)
        ends_at[at] = more

    start = _next(data, 0)
    while places or start < len(data):
        if start < len(data) and (not places or start <= places[0]):
            (size,) = _HEADER.unpack_from(data, start)
            if start + size <= len(data):  # else the library sees it itself
                go_on(start + _HEADER.size, [start + size])
            start = _next(data, start + len(_SIGNATURE))
            continue
        at = heappop(places)
        ends = ends_at.pop(at)
        until = min(start, places[0]) if places else start
        while at < until:
            while ends and at + _OBJECT.size > ends[0]:
                heappop(ends)
            if not ends:
                break
            index, _, _, size = _OBJECT.unpack_from(data, at)
            needed = _OBJECT.size + (size + 7) // 8 * 8 if index else size
            if needed == 0 or at + needed > ends[0]:
                return None
            longest = max(longest, size)
            at += needed
        else:
            go_on(at, ends)
    return longest


def _next(data: mmap.mmap, start: int) -> int:
    """Where the next collection begins whose header is in the file; beyond its end if none does."""
    found = data.find(_SIGNATURE, start)
    return found if 0 <= found <= len(data) - _HEADER.size else len(data) + 1
