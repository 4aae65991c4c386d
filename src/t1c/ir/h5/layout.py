"""Where the data of a dataset lie."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import NamedTuple

from .btree1 import CHUNKS, leaves
from .checksum import verify
from .source import UNDEFINED, H5Error, Source

_COMPACT, _CONTIGUOUS, _CHUNKED, _VIRTUAL = range(4)
_SINGLE, _IMPLICIT, _FIXED_ARRAY = 1, 2, 3
_LARGEST_CHUNK = 2**32

Place = tuple[int, ...]


class Chunk(NamedTuple):
    """One block of a dataset.

    Attributes:
        place: its first entry.
        address: where it lies.
        size: the bytes that it takes there.
        skipped: a bit for each filter that it did not pass.
    """

    place: Place
    address: int
    size: int
    skipped: int


class Layout(NamedTuple):
    """Where data lie: within the header, in one piece, or in chunks.

    Attributes:
        inside: the data themselves, if they are in the header.
        address: of the data, or of what leads to the chunks.
        size: of data in one piece.
        chunk: the shape of a chunk, if there are chunks.
        elsewhere: the data are gathered from other datasets.
        entry: the size of an entry, if there are chunks.
        route: what leads to them; 0 is a B-tree.
        options: what its kind of index says besides.
        whole_edges: chunks that reach beyond the shape were not packed.
    """

    inside: bytes | None = None
    address: int = UNDEFINED
    size: int = 0
    chunk: Place | None = None
    elsewhere: bool = False
    entry: int = 0
    route: int = 0
    options: bytes = b""
    whole_edges: bool = False

    @property
    def is_one_piece(self) -> bool:
        """Whether the data lie in the file one behind the other, and not in the header."""
        return self.inside is None and self.chunk is None and self.address != UNDEFINED

    @classmethod
    def parsed(cls, body: bytes) -> Layout:
        """What a layout message says.

        Raises:
            H5Error: it is not well formed, or of a kind that is not read.
        """
        try:
            version, kind = body[0], body[1]
            if version not in (3, 4, 5):
                raise H5Error(f"a layout of version {version}")
            if kind == _COMPACT:
                (size,) = struct.unpack_from("<H", body, 2)
                if len(body) < 4 + size:
                    raise H5Error(f"{size:,} bytes in a header that ends before")
                return cls(inside=body[4 : 4 + size], size=size)
            if kind == _CONTIGUOUS:
                address, size = struct.unpack_from("<QQ", body, 2)
                return cls(address=address, size=size)
            if kind == _CHUNKED:
                return cls._chunked_3(body) if version == 3 else cls._chunked_4(body, version)
            if kind == _VIRTUAL:
                return cls(elsewhere=True)
        except (IndexError, struct.error):
            raise H5Error("a layout that ends within itself") from None
        raise H5Error(f"a layout of kind {kind}")

    @classmethod
    def _chunked_3(cls, body: bytes) -> Layout:
        axes = body[2]
        address, *sizes = struct.unpack_from(f"<Q{axes}I", body, 3)
        return cls(address=address, chunk=_checked(sizes[:-1]), entry=sizes[-1])

    @classmethod
    def _chunked_4(cls, body: bytes, version: int) -> Layout:
        flags, axes, width = body[2:5]
        end = 5 + axes * width
        if not 1 <= width <= 8 or len(body) < end + 9:
            raise H5Error("a layout of chunks that ends within itself")
        sizes = [int.from_bytes(body[i : i + width], "little") for i in range(5, end, width)]
        route, rest = body[end], body[end + 1 :]
        if route == _SINGLE:
            count = 12 if flags & 2 else 0
        elif route == _IMPLICIT:
            count = 0
        elif route == _FIXED_ARRAY:
            count = 1
        else:
            raise H5Error("chunks that may grow in number without bound")
        (address,) = struct.unpack_from("<Q", rest, count)
        chunk, entry = _checked(sizes[:-1]), sizes[-1]
        return cls(
            address=address, chunk=chunk, entry=entry, route=route, options=rest[:count],
            whole_edges=bool(flags & 1),
        )  # fmt: skip

    def chunks(self, source: Source, shape: Place, packed: bool) -> Iterator[Chunk]:
        """The chunks that are stored, each of which lies in the shape.

        Args:
            source: the file.
            shape: of the dataset.
            packed: whether chunks pass filters, and so may take less than they hold.

        Raises:
            H5Error: what leads to them does not lie in the file, or is not well formed.
        """
        if self.address == UNDEFINED or self.chunk is None:
            return
        full = math.prod(self.chunk) * self.entry
        if self.route == 0:
            yield from self._in_tree(source, shape)
        elif self.route == _SINGLE:
            size, skipped = struct.unpack("<QI", self.options) if self.options else (full, 0)
            yield Chunk((0,) * len(shape), self.address, size, skipped)
        elif self.route == _IMPLICIT:
            if math.prod(shape) * self.entry > source.end:
                raise H5Error(f"{shape} entries in a file of {source.end:,} bytes")
            for i, place in enumerate(_places(shape, self.chunk)):
                yield Chunk(place, self.address + i * full, full, 0)
        else:
            yield from self._in_array(source, shape, full, packed)

    def _in_tree(self, source: Source, shape: Place) -> Iterator[Chunk]:
        key = struct.Struct(f"<II{len(shape) + 1}Q")
        chunk = self.chunk or ()
        for raw, address in leaves(source, self.address, CHUNKS, key.size):
            size, skipped, *place = key.unpack(raw)
            inside = zip(place[:-1], chunk, shape, strict=True)
            if place[-1] or any(at % c or at >= n for at, c, n in inside):
                raise H5Error(f"a chunk at {place[:-1]}, in chunks of {chunk} of {shape}")
            yield Chunk(tuple(place[:-1]), address, size, skipped)

    def _in_array(self, source: Source, shape: Place, full: int, packed: bool) -> Iterator[Chunk]:
        """Chunks whose addresses stand one behind the other, in pages if they are many."""
        at = self.address
        head = source.take(at, 28, "the index of chunks")
        if head[:5] != b"FAHD\0":
            raise H5Error(f"no index of chunks at {at:,}")
        verify(head, "the index of chunks", at)
        client, width, page_bits, count, block = struct.unpack_from("<BBBQQ", head, 5)
        if client != packed or width != (8 if not packed else max(width, 13)) or width > 20:
            raise H5Error(f"an index of chunks at {at:,} that is of another kind")
        entries = _array_entries(source, block, client, width, page_bits, count)
        for place, raw in zip(_places(shape, self.chunk or ()), entries, strict=False):
            address = int.from_bytes(raw[:8], "little")
            if address == UNDEFINED:
                continue
            size, skipped = full, 0
            if packed:
                size = int.from_bytes(raw[8:-4], "little")
                skipped = int.from_bytes(raw[-4:], "little")
            yield Chunk(place, address, size, skipped)


def _array_entries(
    source: Source, at: int, client: int, width: int, page_bits: int, count: int
) -> Iterator[bytes]:
    head = 14
    page = 1 << page_bits if page_bits < 32 else 0
    if not page or count > source.end:
        raise H5Error(f"an index of chunks at {at:,} of {count:,} entries")
    pages = -(-count // page) if count > page else 0
    body = -(-pages // 8) if pages else count * width
    block = source.take(at, head + body + 4, "a block of the index of chunks")
    if block[:6] != b"FADB\0" + bytes((client,)):
        raise H5Error(f"no block of an index of chunks at {at:,}")
    verify(block, "the block of the index of chunks", at)
    if not pages:
        yield from (block[i : i + width] for i in range(head, head + body, width))
        return
    start = at + len(block)
    for number in range(pages):
        entries = min(page, count - number * page)
        if block[head + number // 8] >> (7 - number % 8) & 1:
            found = source.take(start, entries * width + 4, "a page of the index of chunks")
            verify(found, "the page of the index of chunks", start)
            yield from (found[i : i + width] for i in range(0, entries * width, width))
        else:
            raise H5Error(f"a page of the index of chunks at {start:,} that was never written")
        start += page * width + 4


def _checked(sizes: list[int]) -> Place:
    if not sizes or 0 in sizes or math.prod(sizes) > _LARGEST_CHUNK:
        raise H5Error(f"chunks of {tuple(sizes)} entries")
    return tuple(sizes)


def _places(shape: Place, chunk: Place) -> Iterator[Place]:
    """The first entries of all chunks, the last axis fastest."""
    counts = [-(-n // c) for n, c in zip(shape, chunk, strict=True)]
    place = [0] * len(shape)
    for _ in range(math.prod(counts)):
        yield tuple(at * c for at, c in zip(place, chunk, strict=True))
        for axis in reversed(range(len(place))):
            place[axis] += 1
            if place[axis] < counts[axis]:
                break
            place[axis] = 0
