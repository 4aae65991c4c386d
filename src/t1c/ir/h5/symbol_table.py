"""The names in a group as they were kept first: a B-tree of entries, and their names in a heap."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .btree1 import GROUPS, leaves
from .links import HARD, SOFT, Link
from .source import UNDEFINED, H5Error, Source

_TABLE = struct.Struct("<QQ")
_HEAP = struct.Struct("<4sB3xQQQ")
_FREE = struct.Struct("<QQ")
_NODE = struct.Struct("<4sBxH")
_ENTRY = struct.Struct("<QQI4x16x")
_END_OF_FREE = (1, UNDEFINED)
_SYMBOLIC_LINK = 2


def named(source: Source, table: bytes) -> Iterator[tuple[bytes, Link]]:
    """The names of a group and what each leads to, from its symbol table message.

    Raises:
        H5Error: one of the structures does not lie in the file, or is not well formed.
    """
    if len(table) < _TABLE.size:
        raise H5Error("a symbol table message that is too short")
    tree, heap = _TABLE.unpack_from(table)
    names = LocalHeap(source, heap)
    for _, at in leaves(source, tree, GROUPS, 8):
        signature, version, count = _NODE.unpack(source.take(at, _NODE.size, "a symbol table"))
        if signature != b"SNOD" or version != 1:
            raise H5Error(f"no symbol table at {at:,}")
        entries = source.take(at + _NODE.size, count * _ENTRY.size, "a symbol table")
        for offset, address, cached in _ENTRY.iter_unpack(entries):
            kind = SOFT if cached == _SYMBOLIC_LINK else HARD
            yield names.text(offset), Link(kind, address, -1)


class LocalHeap:
    """The names of one group.

    Args:
        source: the file.
        at: its address.

    Raises:
        H5Error: it does not lie in the file, or what is free in it cannot be free. What is free is
            not read, but another reader would follow it.
    """

    def __init__(self, source: Source, at: int) -> None:
        head = source.take(at, _HEAP.size, "a local heap")
        signature, version, size, free, data = _HEAP.unpack(head)
        if signature != b"HEAP" or version:
            raise H5Error(f"no local heap at {at:,}")
        self._at = at
        self._data = source.take(data, size, "the names of a local heap")
        # No two names share their bytes.
        self._left = size
        self._check_free(free)

    def text(self, offset: int) -> bytes:
        """The name at an offset."""
        end = self._data.find(b"\0", offset) if offset < len(self._data) else -1
        if end < 0:
            raise H5Error(f"a name at {offset:,} of the local heap at {self._at:,}, beyond its end")
        self._left -= end - offset
        if self._left < 0:
            raise H5Error(f"names that lie upon one another in the local heap at {self._at:,}")
        return self._data[offset:end]

    def _check_free(self, free: int) -> None:
        left = len(self._data)
        while free not in _END_OF_FREE:
            if free + _FREE.size > len(self._data):
                raise H5Error(f"free space beyond the end of the local heap at {self._at:,}")
            following, size = _FREE.unpack_from(self._data, free)
            if not _FREE.size <= size <= len(self._data) - free:
                raise H5Error(f"{size:,} bytes free at {free:,} of the local heap at {self._at:,}")
            left -= size
            if left < 0:
                raise H5Error(
                    f"the local heap at {self._at:,} has more free space than bytes: "
                    "its list of free space runs in a circle"
                )
            free = following
