"""Fractal heaps: where a group with many names keeps its link messages."""

from __future__ import annotations

import struct
from bisect import bisect_right

from .checksum import verify
from .source import UNDEFINED, H5Error, Source, bytes_for

_HEAD = struct.Struct("<4sBHHBIQQQQQQQQQQQQHQQHHQHI")
_SUM = 4
_MANAGED = 0
_SUMMED = 2


class FractalHeap:
    """Objects in blocks that grow: of each row of blocks after the second, twice as large.

    Args:
        source: the file.
        at: its address.

    Attributes:
        id_size: the size in bytes of what names an object.

    Raises:
        H5Error: a block does not lie in the file, or is not well formed.
    """

    def __init__(self, source: Source, at: int) -> None:
        head = source.take(at, _HEAD.size, "a fractal heap")
        fields = _HEAD.unpack(head)
        signature, version, self.id_size, filters, flags, largest = fields[:6]
        width, start, self._largest_block, bits, _, root, rows, _ = fields[18:]
        if signature != b"FRHP" or version:
            raise H5Error(f"no fractal heap at {at:,}")
        if filters:
            raise H5Error(f"a fractal heap at {at:,} that is compressed")
        verify(head, "the fractal heap", at)
        powers = [n > 0 and not n & (n - 1) for n in (width, start, self._largest_block)]
        if not all(powers) or self._largest_block < start or not 0 < bits <= 64:
            raise H5Error(f"a fractal heap at {at:,} whose blocks have no possible size")
        self._source, self._at, self._width, self._start = source, at, width, start
        self._summed = _SUM if flags & _SUMMED else 0
        self._offset_size = (bits + 7) // 8
        block_bits = self._largest_block.bit_length() - 1
        self._length_size = min((block_bits + 7) // 8, bytes_for(largest))
        if self.id_size < 1 + self._offset_size + self._length_size:
            raise H5Error(f"a fractal heap at {at:,} whose IDs have {self.id_size} bytes")
        self._starts: list[int] = []
        self._blocks: list[bytes] = []
        if root != UNDEFINED:
            self._walk(root, rows)
        # No two objects share their bytes.
        self._left = sum(map(len, self._blocks))

    def object(self, name: bytes) -> bytes:
        """The bytes of the object that an ID names."""
        if name[0] >> 4 != _MANAGED:
            raise H5Error(f"an object of kind {name[0] >> 4} in the fractal heap at {self._at:,}")
        split = 1 + self._offset_size
        offset = int.from_bytes(name[1:split], "little")
        length = int.from_bytes(name[split : split + self._length_size], "little")
        number = bisect_right(self._starts, offset) - 1
        if number >= 0:
            start = offset - self._starts[number]
            found = self._blocks[number][start : start + length]
            self._left -= length
            if len(found) == length and self._left >= 0:
                return found
        raise H5Error(f"an object that is not in the fractal heap at {self._at:,}")

    def _walk(self, root: int, rows: int) -> None:
        """Read all blocks, those that lie first in the heap first."""
        if not rows:
            self._read(root, 0, self._start)
            return
        waiting = [(root, 0, rows, 0)]  # of an indirect block, or with no rows of a direct one
        while waiting:
            address, offset, rows, size = waiting.pop()
            if size:
                self._read(address, offset, size)
            else:
                waiting += reversed(self._children(address, offset, rows))

    def _children(self, address: int, offset: int, rows: int) -> list[tuple[int, int, int, int]]:
        head = 13 + self._offset_size
        count = rows * self._width
        block = self._source.take(address, head + 8 * count + _SUM, "a block of a fractal heap")
        self._check_head(block, b"FHIB", address, offset)
        verify(block, "the block of a fractal heap", address)
        found = []
        first_row = (self._start * self._width).bit_length() - 1
        for i, (child,) in enumerate(struct.iter_unpack("<Q", block[head:-_SUM])):
            size = self._start << max(i // self._width - 1, 0)
            if size > 2**63:
                raise H5Error(f"a block of a fractal heap at {address:,} with too many rows")
            if child != UNDEFINED:
                if size <= self._largest_block:
                    found.append((child, offset, 0, size))
                else:
                    found.append((child, offset, size.bit_length() - first_row, 0))
            offset += size
        if any(not size and rows < 1 for _, _, rows, size in found):
            raise H5Error(f"a block of a fractal heap at {address:,} without rows")
        return found

    def _read(self, address: int, offset: int, size: int) -> None:
        block = self._source.take(address, size, "a block of a fractal heap")
        self._check_head(block, b"FHDB", address, offset)
        if self._summed:
            # The sum stands before the objects, and counts as zeros in itself.
            end = 13 + self._offset_size
            blank = block[:end] + bytes(_SUM) + block[end + _SUM :]
            verify(blank + block[end : end + _SUM], "the block of a fractal heap", address)
        self._starts.append(offset)
        self._blocks.append(block)

    def _check_head(self, block: bytes, signature: bytes, address: int, offset: int) -> None:
        stated = int.from_bytes(block[13 : 13 + self._offset_size], "little")
        if block[:5] != signature + b"\0" or block[5:13] != self._at.to_bytes(8, "little"):
            raise H5Error(f"no block of the fractal heap at {self._at:,} at {address:,}")
        if stated != offset:
            raise H5Error(f"a block of a fractal heap at {address:,} that belongs elsewhere in it")
