"""The sums by which an HDF5 file notices damage."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from .source import H5Error

_MASK = 0xFFFFFFFF
_PIECE = 12 * 2**12
_BLOCK = struct.Struct("<III")


def verify(block: bytes, what: str, at: int) -> None:
    """Check the sum in the last four bytes of a structure; ``H5Error`` if it is another."""
    if lookup3(block[:-4]) != int.from_bytes(block[-4:], "little"):
        raise H5Error(f"{what} at {at:,} is damaged: its checksum is another")


def lookup3(data: bytes) -> int:
    """Bob Jenkins' hash of 2006, from 0: the sum behind structures of version 2."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    if not data:
        return c
    # The last block, of at most twelve bytes, is mixed in another way.
    whole = (len(data) - 1) // 12 * 12
    for start in range(0, whole, _PIECE):
        piece = np.frombuffer(data, "<u4", (min(whole, start + _PIECE) - start) // 4, start)
        words: Iterator[int] = iter(piece.tolist())
        for x, y, z in zip(words, words, words, strict=True):
            # Rotations of 32 bits: to the left by n, and what falls out comes back on the right.
            c = (c + z) & _MASK
            a = ((a + x - c) ^ (c << 4) ^ (c >> 28)) & _MASK
            b = (b + y) & _MASK
            c = (c + b) & _MASK
            b = ((b - a) ^ (a << 6) ^ (a >> 26)) & _MASK
            a = (a + c) & _MASK
            c = ((c - b) ^ (b << 8) ^ (b >> 24)) & _MASK
            b = (b + a) & _MASK
            a = ((a - c) ^ (c << 16) ^ (c >> 16)) & _MASK
            c = (c + b) & _MASK
            b = ((b - a) ^ (a << 19) ^ (a >> 13)) & _MASK
            a = (a + c) & _MASK
            c = ((c - b) ^ (b << 4) ^ (b >> 28)) & _MASK
            b = (b + a) & _MASK
    last: tuple[int, int, int] = _BLOCK.unpack(data[whole:].ljust(12, b"\0"))
    x, y, z = last
    a, b, c = (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK
    for turn in (14, 11, 25, 16, 4, 14, 24):
        # The three take turns: c by b, a by c, b by a.
        c = ((c ^ b) - ((b << turn) | (b >> (32 - turn)))) & _MASK
        a, b, c = b, c, a
    return b


def fletcher32(data: bytes) -> int:
    """The sum that the filter of that name puts behind a chunk."""
    words = np.frombuffer(data.ljust(len(data) + len(data) % 2, b"\0"), ">u2")
    low: int = 0
    high: int = 0
    # Summed in pieces that 64 bits hold: both are sums modulo 65535.
    for start in range(0, len(words), _PIECE):
        piece = words[start : start + _PIECE].astype(np.uint64)
        weights = np.arange(len(piece), 0, -1, dtype=np.uint64)
        high = (high + low * len(piece) + int((piece * weights).sum())) % 65535
        low = (low + int(piece.sum())) % 65535
    return int(high << 16 | low)
