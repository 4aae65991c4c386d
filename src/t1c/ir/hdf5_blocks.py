"""How a dataset lies in its file, and the pieces in which to read it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

Place = tuple[int, ...]

# A chunk of text that is larger would not be kept between two pieces of it.
LARGEST_TEXT_CHUNK = 2**26
_REFERENCE = 16


@dataclass(frozen=True)
class Layout:
    """What a dataset says of itself, asked of HDF5 once.

    Attributes:
        shape: () for a single value, and for none.
        empty: there is no value.
        dtype: of one entry.
        is_text: the entries are text, of fixed length or not.
        chunks: the shape of a chunk, or None if it has none.
        elsewhere: the data are in another file, or may be.
        filters: how many filters the data pass, compression among them.
        stored: the bytes that the data take in the file.
    """

    shape: Place
    empty: bool
    dtype: np.dtype[Any]
    is_text: bool
    chunks: Place | None
    elsewhere: bool
    filters: int
    stored: int

    @classmethod
    def of(cls, data: h5py.h5d.DatasetID) -> Layout:
        """The layout of a dataset, none of whose data are read for it."""
        space, plist = data.get_space(), data.get_create_plist()
        kind, dtype = plist.get_layout(), data.dtype
        return cls(
            space.shape or (),
            space.get_simple_extent_type() == h5py.h5s.NULL,
            dtype,
            h5py.check_string_dtype(dtype) is not None,
            plist.get_chunk() if kind == h5py.h5d.CHUNKED else None,
            kind == h5py.h5d.VIRTUAL or plist.get_external_count() > 0,
            plist.get_nfilters(),
            data.get_storage_size(),
        )

    @property
    def bytes(self) -> int:
        """What the data take in memory while they are read: chunks are unpacked as a whole."""
        shape = self.shape
        if self.chunks:
            shape = tuple(-(-n // c) * c for n, c in zip(shape, self.chunks, strict=True))
        return math.prod(shape) * self.dtype.itemsize

    def unreadable(self) -> tuple[str, str] | None:
        """Why the data must not be read: (found, expected), or None if they may."""
        if self.empty:
            return "an empty dataset", "a value"
        if self.elsewhere:
            return "data kept in another file", "the data itself"
        if not self.is_text and self.dtype.kind not in "biuf":
            return f"data of type {self.dtype}", "text, numbers or booleans"
        if (
            self.is_text
            and self.chunks
            and math.prod(self.chunks) * _REFERENCE > LARGEST_TEXT_CHUNK
        ):
            return f"text in chunks of {self.chunks}", "smaller chunks, or none"
        return None


def blocks(shape: Place, chunks: Place | None, most: int) -> Iterator[tuple[Place, Place]]:
    """The blocks of at most ``most`` entries that make up an array, as (start, count).

    Those of one chunk come one behind the other, so that it is unpacked once.
    """
    for corner in itertools.product(
        *(range(0, n, c) for n, c in zip(shape, chunks or shape, strict=True) if n)
    ):
        if len(corner) < len(shape):
            return  # an axis of length 0
        inside = tuple(
            min(c, n - at) for at, n, c in zip(corner, shape, chunks or shape, strict=True)
        )
        for start, count in _split(inside, most):
            yield tuple(a + b for a, b in zip(corner, start, strict=True)), count


def _split(shape: Place, most: int) -> Iterator[tuple[Place, Place]]:
    if not shape:
        yield (), ()
        return
    row = math.prod(shape[1:])
    if row <= most:
        step = most // row
        for first in range(0, shape[0], step):
            yield (first, *[0] * (len(shape) - 1)), (min(step, shape[0] - first), *shape[1:])
        return
    for first in range(shape[0]):
        for start, count in _split(shape[1:], most):
            yield (first, *start), (1, *count)
