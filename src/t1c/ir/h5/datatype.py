"""What the entries of a dataset are, and how many there are along each axis."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from .global_heap import REFERENCE
from .source import H5Error

_HEAD = struct.Struct("<B3sI")
_MOST_AXES = 32
_LARGEST = 2**31 - 1
_SCALAR, _NULL = 0, 2
_INTEGER, _FLOAT, _STRING, _COMPOUND, _ENUM, _VARIABLE = 0, 1, 3, 6, 8, 9
_OTHERS = {
    2: "time",
    4: "bits",
    5: "opaque",
    7: "reference",
    10: "array",
    11: "complex",
}

# Exponent's place and size, mantissa's place and size, and bias, of the formats of IEEE 754.
_FLOATS = {
    2: (10, 5, 0, 10, 15),
    4: (23, 8, 0, 23, 127),
    8: (52, 11, 0, 52, 1023),
}

ENDS_AT_NUL, PADDED_WITH_NUL, PADDED_WITH_SPACES = 0, 1, 2


@dataclass(frozen=True)
class Datatype:
    """What one entry is.

    Attributes:
        size: of an entry, in bytes.
        dtype: of numbers; of text, the bytes that stand for it.
        is_text: whether it is text.
        padding: of text of fixed length: ``ENDS_AT_NUL`` and so on; None where each has a length
            of its own.
        items: of arrays each of a length of its own, what one of their entries is.
        unreadable: what it is, if it is neither numbers nor text.
    """

    size: int
    dtype: np.dtype[Any]
    is_text: bool = False
    padding: int | None = None
    items: np.dtype[Any] | None = None
    unreadable: str = ""


def datatype(body: bytes) -> Datatype:
    """What a datatype message says.

    Raises:
        H5Error: it is not well formed.
    """
    if len(body) < _HEAD.size:
        raise H5Error("a datatype message that is too short")
    first, bits, size = _HEAD.unpack_from(body)
    kind, properties = first & 15, body[_HEAD.size :]
    plain = np.dtype((np.void, REFERENCE.size))
    if not 0 < size <= _LARGEST:
        raise H5Error(f"a datatype of {size:,} bytes")
    if kind == _INTEGER:
        return Datatype(size, _integer(bits, size, properties))
    if kind == _FLOAT:
        return Datatype(size, _float(bits, size, properties))
    if kind == _STRING:
        padding = bits[0] & 15
        if padding > PADDED_WITH_SPACES:
            raise H5Error(f"text with padding {padding}")
        return Datatype(size, np.dtype((np.bytes_, size)), is_text=True, padding=padding)
    if kind == _ENUM:
        return Datatype(size, _enumeration(bits, size, properties, first >> 4))
    if kind == _VARIABLE and bits[0] & 15 == 1:
        if size != REFERENCE.size:
            raise H5Error(f"references to text of {size} bytes")
        return Datatype(size, plain, is_text=True)
    if kind == _VARIABLE:
        items = _numbers(properties) if size == REFERENCE.size else None
        return Datatype(size, plain, items=items, unreadable="arrays of different lengths")
    if kind == _COMPOUND:
        return Datatype(size, plain, unreadable=_record(bits, size, properties))
    if kind in _OTHERS:
        return Datatype(size, plain, unreadable=_OTHERS[kind])
    raise H5Error(f"a datatype of class {kind}")


def _numbers(body: bytes) -> np.dtype[Any] | None:
    """What a type within a type is, if it is numbers: others may be within one another for ever."""
    if len(body) < _HEAD.size or body[0] & 15 not in (_INTEGER, _FLOAT):
        return None
    return datatype(body).dtype


def _integer(bits: bytes, size: int, properties: bytes) -> np.dtype[Any]:
    if size not in (1, 2, 4, 8) or struct.unpack_from("<HH", properties.ljust(4, b"\0")) != (
        0,
        8 * size,
    ):
        raise H5Error(f"integers of {size} bytes that do not fill them")
    return np.dtype(f"{'>' if bits[0] & 1 else '<'}{'i' if bits[0] & 8 else 'u'}{size}")


def _float(bits: bytes, size: int, properties: bytes) -> np.dtype[Any]:
    offset, precision, *form, bias = struct.unpack_from("<HHBBBBI", properties.ljust(12, b"\0"))
    order, sign, normalised = bits[0] & 0x41, bits[1], bits[0] >> 4 & 3
    if (
        (offset, precision) != (0, 8 * size)
        or (*form, bias) != _FLOATS.get(size)
        or order > 1
        or sign != 8 * size - 1
        or normalised != 2
    ):
        raise H5Error(f"floats of {size} bytes that are not those of IEEE 754")
    return np.dtype(f"{'>' if order else '<'}f{size}")


def _enumeration(bits: bytes, size: int, properties: bytes, version: int) -> np.dtype[Any]:
    """The integers behind the names; a boolean is an enumeration of FALSE and TRUE."""
    base = _numbers(properties)
    if base is None or base.itemsize != size or base.kind not in "iu":
        raise H5Error("an enumeration of what are no integers")
    count, place = int.from_bytes(bits[:2], "little"), _HEAD.size + 4
    names = []
    for _ in range(count):
        end = properties.find(b"\0", place)
        if end < 0:
            raise H5Error("an enumeration that ends within a name")
        names.append(properties[place:end])
        place = end + 1 if version >= 3 else place + (end - place) // 8 * 8 + 8
    values = properties[place : place + count * size]
    if len(values) < count * size:
        raise H5Error("an enumeration with fewer values than names")
    if names == [b"FALSE", b"TRUE"] and size == 1 and values == b"\0\1":
        return np.dtype(bool)
    return base


def _record(bits: bytes, size: int, properties: bytes) -> str:
    """What a record is called: h5py writes complex numbers as records of r and i."""
    count = int.from_bytes(bits[:2], "little")
    if count == 2 and properties.startswith(b"r\0") and size in (8, 16):
        return f"complex{8 * size}"
    return "record"


def shape(body: bytes) -> tuple[int, ...] | None:
    """What a dataspace message says: the shape, () for a single value; None where there is none.

    Raises:
        H5Error: it is not well formed.
    """
    body = body.ljust(4, b"\0")
    version, axes, flags, kind = body[:4]
    if version == 1:
        start = 8
    elif version == 2:
        start = 4
        if kind > _NULL:
            raise H5Error(f"a dataspace of kind {kind}")
        if kind == _NULL:
            return None
        if (kind == _SCALAR) != (axes == 0):
            raise H5Error(f"a single value with {axes} axes")
    else:
        raise H5Error(f"a dataspace of version {version}")
    need = start + 8 * axes * (2 if flags & 1 else 1)
    if axes > _MOST_AXES or len(body) < need:
        raise H5Error(f"a dataspace of {axes} axes that ends within itself")
    return struct.unpack_from(f"<{axes}Q", body, start)
