"""Files, groups and datasets."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from . import header
from .datatype import ENDS_AT_NUL, PADDED_WITH_SPACES, Datatype, datatype, shape
from .filters import pipeline, unpacked, unreadable
from .global_heap import REFERENCE, GlobalHeaps
from .header import Header
from .layout import Layout, Place
from .links import Link, LinkInfo, parsed
from .source import H5Error, Source
from .superblock import find, root_address
from .symbol_table import named

Array = npt.NDArray[Any]

LONGEST_NAME = 2**16
"""The longest name that HDF5 gives, in bytes."""

_SMALL = 2**16


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a file has the signature of HDF5 where one may stand."""
    with open(path, "rb", buffering=0) as file:
        return find(Source(file.fileno(), os.fstat(file.fileno()).st_size)) is not None


class File:
    """An HDF5 file open for reading.

    Args:
        descriptor: of the file; it is not closed.

    Attributes:
        source: its bytes.
        root: the group in which all others lie.

    Raises:
        H5Error: it is no HDF5 file, or its beginning is damaged.
    """

    def __init__(self, descriptor: int) -> None:
        self.source = Source(descriptor, os.fstat(descriptor).st_size)
        self.texts = GlobalHeaps(self.source)
        self._types: dict[bytes, Datatype] = {}
        root = self.open(root_address(self.source), "")
        if not isinstance(root, Group):
            raise H5Error("a root that is no group")
        self.root = root

    def open(self, address: int, name: str) -> Group | Dataset | None:
        """The object whose header lies at an address; None if it is neither group nor dataset.

        Args:
            address: of its header.
            name: what leads to it, for messages.

        Raises:
            H5Error: it does not lie in the file, or is not well formed.
        """
        head = Header(self.source, address)
        parts = head.parts
        is_group = header.SYMBOL_TABLE in parts or header.LINK_INFO in parts
        is_data = header.LAYOUT in parts or header.DATASPACE in parts
        if is_group and is_data:
            raise H5Error(f"what is a group and a dataset at once, at {address:,}")
        if is_group:
            return Group(self, head, name)
        if is_data:
            return Dataset(self, head, address)
        return None

    def type_of(self, message: bytes) -> Datatype:
        """The type that a message says; a file has few, and many datasets of each."""
        found = self._types.get(message)
        if found is None:
            found = self._types[message] = datatype(message)
        return found


class Group:
    """Names, and what each leads to.

    Attributes:
        name: what leads to the group, for messages.
        links: name -> link, in the order in which they were made if the file knows it, else
            sorted; a name that is not UTF-8 is left as bytes.
    """

    def __init__(self, file: File, head: Header, name: str) -> None:
        self.name = name
        found = [parsed(message) for message in head.links]
        ordered = False
        if header.LINK_INFO in head.parts:
            info = LinkInfo(head.parts[header.LINK_INFO])
            ordered = info.ordered
            found += [parsed(message) for message in info.stored(file.source)]
        if header.SYMBOL_TABLE in head.parts:
            found += named(file.source, head.parts[header.SYMBOL_TABLE])
        found.sort(key=_by_order if ordered else None)
        self.links: dict[str | bytes, Link] = {_text(raw): link for raw, link in found}
        if len(self.links) < len(found):
            raise H5Error(f"a group {name or '/'} that has a name twice")


def _by_order(entry: tuple[bytes, Link]) -> tuple[int, bytes]:
    return entry[1].order, entry[0]


def _text(raw: bytes) -> str | bytes:
    if not raw or len(raw) > LONGEST_NAME:
        raise H5Error(f"a name of {len(raw):,} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class TooMuchTextError(H5Error):
    """More text than the caller allows."""


class Dataset:
    """An array, or a single value.

    Attributes:
        shape: () for a single value, and for none.
        empty: there is no value.
        type: what an entry is.
        elsewhere: the data are kept in another file, or may be.
        filters: what the data were packed with.
        unknown_filter: what they were packed with and cannot be unpacked here, or ''.
        begin: the address of the data, if they lie in the file in one piece, as they are.
        stored: the bytes that the data take in the file.
    """

    def __init__(self, file: File, head: Header, address: int) -> None:
        parts = head.parts
        try:
            space, kind = parts[header.DATASPACE], parts[header.DATATYPE]
            self._layout = layout = Layout.parsed(parts[header.LAYOUT])
        except KeyError:
            raise H5Error(f"a dataset at {address:,} that does not say what it holds") from None
        self._file = file
        size = shape(space)
        self.empty = size is None
        self.shape: Place = size or ()
        self.type = file.type_of(kind)
        self.elsewhere = layout.elsewhere or header.EXTERNAL in parts
        self.filters = pipeline(parts[header.FILTERS]) if header.FILTERS in parts else []
        self.unknown_filter = unreadable(self.filters)
        self.begin = layout.address if layout.is_one_piece else None
        self.stored = 0 if self.begin is None and layout.inside is None else layout.size
        if layout.chunk is not None:
            if len(layout.chunk) != len(self.shape) or layout.entry != self.type.size:
                raise H5Error(f"chunks of {layout.chunk} of an array of shape {self.shape}")
            self._chunks = list(layout.chunks(file.source, self.shape, bool(self.filters)))
            self.stored = sum(chunk.size for chunk in self._chunks)
        elif self.filters:
            raise H5Error("an array that was packed, but not in chunks")

    @property
    def declared(self) -> int:
        """What the data take in memory while they are read: chunks are unpacked as a whole."""
        sizes = self.shape
        if self._layout.chunk:
            sizes = tuple(-(-n // c) * c for n, c in zip(sizes, self._layout.chunk, strict=True))
        return math.prod(sizes) * self.type.size

    def numbers(self) -> Array:
        """The entries. The caller has made sure that there is memory for them.

        Raises:
            H5Error: they do not lie in the file, or are not all there.
        """
        layout, source, dtype = self._layout, self._file.source, self.type.dtype
        size = math.prod(self.shape) * self.type.size
        if not size:
            return np.empty(self.shape, dtype)
        if layout.chunk is not None:
            array = self._unpacked(layout.chunk)
        elif self.stored != size:
            raise H5Error(f"{self.stored:,} bytes stored, {size:,} declared")
        elif self.begin is None:
            array = np.ndarray(self.shape, dtype, bytearray(layout.inside or b""))
        elif size <= _SMALL:
            array = np.ndarray(self.shape, dtype, bytearray(source.take(self.begin, size, "data")))
        else:
            array = np.empty(self.shape, dtype)
            source.fill(self.begin, array, "data")
        if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
            raise H5Error("booleans that are neither true nor false")
        return array

    def texts(self, most: int) -> tuple[list[bytes], int]:
        """The entries one behind the other, if they are text, and how many bytes they have.

        Args:
            most: how many bytes they may have.

        Raises:
            TooMuchTextError: they have more.
            H5Error: they do not lie in the file, or are not all there.
        """
        array = self.numbers()
        if self.type.padding is not None:
            return _trimmed(array, self.type), array.nbytes
        found, total = [], 0
        for reference in REFERENCE.iter_unpack(array.tobytes()):
            text = self._file.texts.text(*reference)
            total += len(text)
            if total > most:
                raise TooMuchTextError
            found.append(text)
        return found, total

    def part(self, number: int) -> Array:
        """One of the arrays of different lengths, of which this is a list.

        Raises:
            H5Error: it is no such list, or the array does not lie in the file.
        """
        items = self.type.items
        if items is None or len(self.shape) != 1:
            raise H5Error(f"no list of arrays, but {self.type.unreadable or self.type.dtype}")
        length, *place = REFERENCE.unpack(self.numbers()[number].tobytes())
        raw = self._file.texts.item(length * items.itemsize, *place)
        return np.ndarray((length,), items, bytearray(raw))

    def _unpacked(self, chunk: Place) -> Array:
        source, dtype = self._file.source, self.type.dtype
        size = math.prod(chunk) * self.type.size
        array = np.empty(self.shape, dtype)
        counts = [-(-n // c) for n, c in zip(self.shape, chunk, strict=True)]
        missing = math.prod(counts) - len({part.place for part in self._chunks})
        if missing or len(self._chunks) > math.prod(counts):
            raise H5Error(f"{missing:,} chunks are missing, or some are there twice")
        for part in self._chunks:
            data = source.take(part.address, part.size, "a chunk")
            inside = [
                slice(0, min(c, n - at))
                for at, c, n in zip(part.place, chunk, self.shape, strict=True)
            ]
            at_edge = any(piece.stop < c for piece, c in zip(inside, chunk, strict=True))
            if not (at_edge and self._layout.whole_edges):
                data = unpacked(data, self.filters, part.skipped, size)
            if len(data) != size:
                raise H5Error(f"a chunk of {len(data):,} bytes where {size:,} belong")
            target = tuple(
                slice(at, at + piece.stop) for at, piece in zip(part.place, inside, strict=True)
            )
            array[target] = np.ndarray(chunk, dtype, data)[tuple(inside)]
        return array


def _trimmed(array: Array, kind: Datatype) -> list[bytes]:
    """Texts of fixed length without what fills them up."""
    raw = array.tobytes()
    found = [raw[i : i + kind.size] for i in range(0, len(raw), kind.size)]
    if kind.padding == ENDS_AT_NUL:
        return [text.partition(b"\0")[0] for text in found]
    return [text.rstrip(b" " if kind.padding == PADDED_WITH_SPACES else b"\0") for text in found]
