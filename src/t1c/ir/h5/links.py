"""The names in a group as they are kept now: messages in its header, or in a fractal heap."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from .btree2 import records
from .fractal_heap import FractalHeap
from .source import UNDEFINED, H5Error, Source

HARD, SOFT, EXTERNAL = 0, 1, 64

_BY_NAME = 5
_HASH = 4


class Link(NamedTuple):
    """What a name leads to.

    Attributes:
        kind: ``HARD``, ``SOFT`` or ``EXTERNAL``.
        address: of the object header, if it is hard.
        order: the how manieth of its group it was made; -1 where the file does not say.
    """

    kind: int
    address: int
    order: int

    @property
    def is_hard(self) -> bool:
        """It leads to an object of the file itself."""
        return self.kind == HARD

    @property
    def is_external(self) -> bool:
        """It leads to another file."""
        return self.kind == EXTERNAL


class LinkInfo:
    """How a group keeps its links.

    Attributes:
        ordered: the file says in which order they were made.
    """

    def __init__(self, body: bytes) -> None:
        flags = body[1] if len(body) > 1 else 0
        start = 2 + (8 if flags & 1 else 0)
        if len(body) < start + 16 + (8 if flags & 2 else 0) or body[0]:
            raise H5Error("a link info message that is not well formed")
        self.ordered = bool(flags & 1)
        self._heap, self._tree = struct.unpack_from("<QQ", body, start)

    def stored(self, source: Source) -> Iterator[bytes]:
        """The link messages that are kept in a heap."""
        if self._heap == UNDEFINED:
            return
        heap = FractalHeap(source, self._heap)
        for record in records(source, self._tree, _BY_NAME, _HASH + heap.id_size):
            yield heap.object(record[_HASH:])


def parsed(message: bytes) -> tuple[bytes, Link]:
    """The name of a link message, and what it leads to."""
    try:
        version, flags = message[0], message[1]
        if version != 1 or flags & 0xE0:
            raise H5Error(f"a link message of version {version} with flags {flags}")
        at = 2
        kind, order = HARD, -1
        if flags & 8:
            kind, at = message[at], at + 1
        if flags & 4:
            order, at = int.from_bytes(message[at : at + 8], "little", signed=True), at + 8
        if flags & 16:
            at += 1  # whether it is ASCII or UTF-8: the one is the other
        width = 1 << (flags & 3)
        length, at = int.from_bytes(message[at : at + width], "little"), at + width
        name, at = message[at : at + length], at + length
        if len(name) < length or not name or (kind == HARD and len(message) < at + 8):
            raise H5Error("a link message that ends within itself")
    except IndexError:
        raise H5Error("a link message that ends within itself") from None
    if kind not in (HARD, SOFT, EXTERNAL):
        raise H5Error(f"a link of kind {kind}")
    return name, Link(kind, int.from_bytes(message[at : at + 8], "little"), order)
