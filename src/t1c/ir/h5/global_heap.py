"""Global heaps: collections of texts, to which the entries of datasets refer."""

from __future__ import annotations

import struct

from .source import H5Error, Source

_HEAD = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<HHIQ")

REFERENCE = struct.Struct("<IQI")
"""A text in a dataset: its length, and its collection and number in a global heap."""


class GlobalHeaps:
    """The texts of a file; each collection is read once, when the first of its texts is asked for.

    Args:
        source: the file.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: dict[int, tuple[bytes, dict[int, tuple[int, int]]]] = {}

    def text(self, length: int, at: int, number: int) -> bytes:
        """The text that a reference stands for, up to its first NUL; errors as ``item``."""
        return self.item(length, at, number).partition(b"\0")[0]

    def item(self, length: int, at: int, number: int) -> bytes:
        """The bytes of what a reference stands for.

        Args:
            length: how many there are.
            at: the address of the collection.
            number: which of it.

        Raises:
            H5Error: the collection does not lie in the file or is not well formed, or it has no
                such item, or a shorter one.
        """
        if not length or not at:
            return b""
        collection = self._found.get(at)
        if collection is None:
            collection = self._found[at] = self._read(at)
        block, objects = collection
        start, size = objects.get(number, (0, -1))
        if size < 0:
            raise H5Error(f"text {number} of the global heap at {at:,}, which has no such text")
        if length > size:
            raise H5Error(
                f"a text of {length:,} bytes in the global heap at {at:,}, which holds {size:,} "
                "of it"
            )
        return block[start : start + length]

    def _read(self, at: int) -> tuple[bytes, dict[int, tuple[int, int]]]:
        head = self._source.take(at, _HEAD.size, "a global heap")
        signature, version, size = _HEAD.unpack(head)
        if signature != b"GCOL" or version != 1:
            raise H5Error(f"no global heap at {at:,}")
        if size < _HEAD.size:
            raise H5Error(f"a global heap of {size} bytes at {at:,}")
        rest = self._source.take(at + _HEAD.size, size - _HEAD.size, "a global heap")
        objects: dict[int, tuple[int, int]] = {}
        place = 0
        while place + _OBJECT.size <= len(rest):
            number, _, _, size = _OBJECT.unpack_from(rest, place)
            # The size of what is free counts what says so; that of an object does not.
            taken = _OBJECT.size + (size + 7) // 8 * 8 if number else size
            if taken < _OBJECT.size or place + taken > len(rest):
                raise H5Error(
                    f"{'a text' if number else 'free space'} of {size:,} bytes at {place:,} of "
                    f"the global heap at {at:,}, which ends elsewhere"
                )
            if number and objects.setdefault(number, (place + _OBJECT.size, size))[0] != (
                place + _OBJECT.size
            ):
                raise H5Error(f"two texts {number} in the global heap at {at:,}")
            place += taken
        return rest, objects
