"""The first bytes of an HDF5 file: what it is, and where its root lies."""

from __future__ import annotations

import struct

from .checksum import verify
from .source import UNDEFINED, H5Error, Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_OLD = struct.Struct("<8sBBBxBBBxHHI")
_ADDRESSES = struct.Struct("<QQQQQQ")
_NEW = struct.Struct("<8sBBBBQQQQI")


def find(source: Source) -> int | None:
    """Where the signature stands: at 0, or behind something else at 512, 1024, 2048 ..."""
    at = 0
    while source.holds(at, len(SIGNATURE)):
        if source.take(at, len(SIGNATURE), "a signature") == SIGNATURE:
            return at
        at = 2 * at or 512
    return None


def root_address(source: Source) -> int:
    """Where the header of the root group lies; ``source`` then knows where the file ends.

    Raises:
        H5Error: it is no HDF5 file, was cut, or is of a kind that is not read.
    """
    at = find(source)
    if at is None:
        raise H5Error("no signature of HDF5")
    version = source.take(at + 8, 1, "the superblock")[0]
    if version in (0, 1):
        return _old(source, at, version)
    if version in (2, 3):
        return _new(source, at, version)
    raise H5Error(f"a superblock of version {version}")


def _old(source: Source, at: int, version: int) -> int:
    head = source.take(at, _OLD.size, "the superblock")
    _, _, free, entry, shared, offsets, lengths, _, _, _ = _OLD.unpack(head)
    if free or entry or shared:
        raise H5Error(f"a superblock of versions {free}, {entry} and {shared} where 0 are known")
    _check_sizes(offsets, lengths)
    rest = source.take(at + _OLD.size + 4 * version, _ADDRESSES.size, "the superblock")
    _, _, end, driver, _, root = _ADDRESSES.unpack(rest)
    if driver != UNDEFINED:
        raise H5Error("a file that is one of several")
    _check_end(source, at, end)
    return int(root)


def _new(source: Source, at: int, version: int) -> int:
    head = source.take(at, _NEW.size, "the superblock")
    _, _, offsets, lengths, flags, _, _, end, root, _ = _NEW.unpack(head)
    _check_sizes(offsets, lengths)
    verify(head, "the superblock", at)
    if version == 3 and flags:
        raise H5Error("a file that its writer did not close")
    _check_end(source, at, end)
    return int(root)


def _check_sizes(offsets: int, lengths: int) -> None:
    if (offsets, lengths) != (8, 8):
        raise H5Error(f"addresses of {offsets} and lengths of {lengths} bytes; read are 8 and 8")


def _check_end(source: Source, at: int, end: int) -> None:
    if end > source.end:
        raise H5Error(f"it was cut: {end:,} bytes were written, {source.end:,} are here")
    if end <= at:
        raise H5Error(f"a file that ends at {end:,}, before it begins")
    source.lies_between(at, end)
