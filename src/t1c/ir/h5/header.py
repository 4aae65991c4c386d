"""Object headers: the messages by which a group or a dataset says what it is."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .checksum import verify
from .source import H5Error, Source

DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL, LAYOUT = 1, 2, 3, 6, 7, 8
FILTERS, SYMBOL_TABLE = 0x0B, 0x11
_NIL, _CONTINUATION = 0, 0x10

_NAMES = {
    DATASPACE: "dataspace",
    LINK_INFO: "link info",
    DATATYPE: "datatype",
    EXTERNAL: "external file list",
    LAYOUT: "layout",
    FILTERS: "filter",
    SYMBOL_TABLE: "symbol table",
}
"""The messages that are read, each of which an object has once; of links it may have many."""

_IGNORED = {_NIL, 4, 5, 0x0A, 0x0C, 0x0D, 0x0E, 0x12, 0x15, 0x16}
"""Old and new fill value, group info, attribute, comment, times, attribute info, references: what
changes nothing in values that are all there."""

_SHARED = 2
_PREFIX = 16
_MESSAGE, _MESSAGE_2 = struct.Struct("<HHB3x"), struct.Struct("<BHB")
_BLOCK = struct.Struct("<QQ")

Message = tuple[int, int, bytes]


class Header:
    """What an object says of itself.

    Args:
        source: the file.
        at: the address of the header.

    Attributes:
        parts: kind of message -> its bytes, for those that an object has once.
        links: the bytes of its link messages.

    Raises:
        H5Error: it does not lie in the file, or is not well formed.
    """

    def __init__(self, source: Source, at: int) -> None:
        self.parts: dict[int, bytes] = {}
        self.links: list[bytes] = []
        prefix = source.take(at, _PREFIX, "an object header")
        if prefix[:4] == b"OHDR":
            messages = _version_2(source, at, prefix)
        elif prefix[0] == 1:
            messages = _version_1(source, at, prefix)
        else:
            raise H5Error(f"no object header at {at:,}")
        for kind, flags, body in messages:
            if kind in _IGNORED:
                continue
            if kind != LINK and kind not in _NAMES:
                raise H5Error(f"a message of kind {kind} in the object header at {at:,}")
            if flags & _SHARED:
                raise H5Error(f"a {_NAMES.get(kind, 'link')} kept apart from what it belongs to")
            if kind == LINK:
                self.links.append(body)
            elif self.parts.setdefault(kind, body) is not body:
                raise H5Error(f"two {_NAMES[kind]} messages in the object header at {at:,}")


def _version_1(source: Source, at: int, prefix: bytes) -> Iterator[Message]:
    stated, size = int.from_bytes(prefix[2:4], "little"), int.from_bytes(prefix[8:12], "little")
    blocks = [(at + _PREFIX, size)]
    count = 0
    for start, length in blocks:  # grows as continuations are met
        block = source.take(start, length, "an object header")
        position = 0
        while position + _MESSAGE.size <= length:
            kind, size, flags = _MESSAGE.unpack_from(block, position)
            body = block[position + _MESSAGE.size : position + _MESSAGE.size + size]
            if len(body) < size:
                raise H5Error(f"a message of {size:,} bytes beyond the object header at {at:,}")
            position += _MESSAGE.size + size
            count += 1
            if kind == _CONTINUATION:
                blocks.append(_continued(body, at))
            else:
                yield kind, flags, body
    if count != stated:
        raise H5Error(f"{count} messages in the object header at {at:,}, which states {stated}")


def _version_2(source: Source, at: int, prefix: bytes) -> Iterator[Message]:
    version, flags = prefix[4], prefix[5]
    if version != 2:
        raise H5Error(f"an object header of version {version} at {at:,}")
    head = _MESSAGE_2.size + (2 if flags & 4 else 0)
    start = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
    width = 1 << (flags & 3)
    end = start + width
    if end > _PREFIX:
        prefix += source.take(at + _PREFIX, end - _PREFIX, "an object header")
    size = int.from_bytes(prefix[start:end], "little")
    blocks = [(at, end + size + 4, end)]
    for block_at, length, start in blocks:  # grows as continuations are met
        if block_at == at:
            block = prefix[:length]
            more = length - len(prefix)
            block += source.take(at + len(prefix), max(more, 0), "an object header")
        else:
            block = source.take(block_at, length, "an object header")
            if block[:4] != b"OCHK":
                raise H5Error(f"no continuation of an object header at {block_at:,}")
        verify(block, "the object header", block_at)
        position = start
        while position + head <= length - 4:
            kind, size, message_flags = _MESSAGE_2.unpack_from(block, position)
            position += head
            if position + size > length - 4:
                raise H5Error(f"a message of {size:,} bytes beyond the object header at {at:,}")
            body = block[position : position + size]
            position += size
            if kind == _CONTINUATION:
                blocks.append((*_continued(body, at), 4))
            else:
                yield kind, message_flags, body


def _continued(body: bytes, at: int) -> tuple[int, int]:
    """Where an object header goes on, and how many bytes it has there."""
    if len(body) < _BLOCK.size:
        raise H5Error(f"a continuation to nowhere in the object header at {at:,}")
    where, length = _BLOCK.unpack_from(body)
    if length < 8:
        raise H5Error(f"a continuation of {length} bytes in the object header at {at:,}")
    return where, length
