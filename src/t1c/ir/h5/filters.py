"""What chunks were packed with, and how they are unpacked into no more than they may hold."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from .checksum import fletcher32
from .source import H5Error

DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000
_OTHERS = {4: "szip", 5: "nbit", 6: "scaleoffset", 307: "bzip2", 32001: "blosc", 32015: "zstd"}
_MOST_FILTERS = 32


@dataclass(frozen=True)
class Filter:
    """One step by which a chunk was packed: its number, and what it was told."""

    number: int
    values: tuple[int, ...]


def pipeline(body: bytes) -> list[Filter]:
    """The filters that a message names, in the order in which they packed.

    Raises:
        H5Error: it is not well formed; or chunks are packed twice, which multiplies what unpacking
            may cost, and nobody does.
    """
    try:
        version, count = body[0], body[1]
        if version not in (1, 2) or count > _MOST_FILTERS:
            raise H5Error(f"{count} filters, in a message of version {version}")
        at = 8 if version == 1 else 2
        found = []
        for _ in range(count):
            (number,) = struct.unpack_from("<H", body, at)
            at += 2
            length = 0
            if version == 1 or number >= 256:
                (length,) = struct.unpack_from("<H", body, at)
                at += 2
            _, values = struct.unpack_from("<HH", body, at)
            at += 4 + (length + 7) // 8 * 8 if version == 1 else 4 + length
            found.append(Filter(number, struct.unpack_from(f"<{values}I", body, at)))
            at += 4 * (values + (values % 2 if version == 1 else 0))
        numbers = [step.number for step in found]
        if len(set(numbers)) < count or {DEFLATE, LZF} <= set(numbers):
            raise H5Error("chunks that were packed over and over")
        return found
    except (IndexError, struct.error):
        raise H5Error("a message of filters that ends within itself") from None


def unreadable(filters: list[Filter]) -> str:
    """The name of a filter that is not known here, or ''."""
    for step in filters:
        if step.number not in (DEFLATE, SHUFFLE, FLETCHER32, LZF):
            return _OTHERS.get(step.number, f"filter {step.number}")
    return ""


def unpacked(packed: bytes, filters: list[Filter], skipped: int, size: int) -> bytes:
    """A chunk as it was before it was packed.

    Args:
        packed: its bytes.
        filters: what it passed, in order.
        skipped: a bit for each that it did not.
        size: how many bytes it must become.

    Raises:
        H5Error: it becomes more or fewer, or is damaged.
    """
    # Sums are added to a chunk, and nothing else makes it larger on the way.
    most = size + 4 * len(filters)
    for i, step in reversed(list(enumerate(filters))):
        if skipped >> i & 1:
            continue
        if step.number == DEFLATE:
            packed = _inflated(packed, most)
        elif step.number == LZF:
            packed = _lzf(packed, most)
        elif step.number == FLETCHER32:
            packed = _summed(packed)
        else:
            packed = _gathered(packed, step.values[0] if step.values else 1)
    if len(packed) != size:
        raise H5Error(f"a chunk of {len(packed):,} bytes where {size:,} belong")
    return packed


def _inflated(packed: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(packed, most + 1)
    except zlib.error as cause:
        raise H5Error(f"a damaged chunk ({cause})") from None
    if len(found) > most:
        raise H5Error(f"a chunk that unpacks to more than {most:,} bytes")
    if not unpacker.eof:
        raise H5Error("a chunk that was cut")
    return found


def _summed(packed: bytes) -> bytes:
    if len(packed) < 4:
        raise H5Error("a chunk without its checksum")
    data, stated = packed[:-4], int.from_bytes(packed[-4:], "little")
    # Its halves are numbers modulo 65535, and some writers have that for 0.
    halves = ((stated >> 16) % 65535) << 16 | (stated & 0xFFFF) % 65535
    if fletcher32(data) != halves:
        raise H5Error("a damaged chunk: its checksum is another")
    return data


def _gathered(packed: bytes, width: int) -> bytes:
    """Undo the shuffle: first came the first bytes of all entries, then the second ones."""
    count = len(packed) // width if width else 0
    if width < 2 or count < 2:
        return packed
    whole = np.frombuffer(packed, np.uint8, count * width).reshape(width, count)
    return whole.T.tobytes() + packed[count * width :]


def _lzf(packed: bytes, most: int) -> bytes:
    """LZF: runs of bytes, and references to what came before."""
    out = bytearray()
    at = 0
    try:
        while at < len(packed):
            control = packed[at]
            at += 1
            if control < 32:
                if at + control + 1 > len(packed):
                    raise H5Error("a chunk that was cut")
                out += packed[at : at + control + 1]
                at += control + 1
            else:
                length = control >> 5
                if length == 7:
                    length += packed[at]
                    at += 1
                start = len(out) - ((control & 31) << 8 | packed[at]) - 1
                at += 1
                if start < 0:
                    raise H5Error("a damaged chunk: it refers to what is before it")
                length += 2
                piece = bytes(out[start : start + length])
                out += (piece * (-(-length // len(piece))))[:length]
            if len(out) > most:
                raise H5Error(f"a chunk that unpacks to more than {most:,} bytes")
    except IndexError:
        raise H5Error("a chunk that was cut") from None
    return bytes(out)
