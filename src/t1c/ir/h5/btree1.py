"""The older B-tree: of the entries of a group, or of the chunks of a dataset."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .source import UNDEFINED, H5Error, Source

GROUPS, CHUNKS = 0, 1

_NODE = struct.Struct("<4sBBH16x")
_POINTER = 8


def leaves(source: Source, root: int, kind: int, key_size: int) -> Iterator[tuple[bytes, int]]:
    """What the tree leads to, from the left to the right: (key, address).

    Args:
        source: the file.
        root: the address of the tree.
        kind: ``GROUPS`` or ``CHUNKS``.
        key_size: the size of a key in bytes.

    Raises:
        H5Error: a node does not lie in the file, is of another kind, or of another level than its
            parent says.
    """
    waiting: list[tuple[int, int | None]] = [(root, None)]
    while waiting:
        at, expected = waiting.pop()
        signature, found, level, count = _NODE.unpack(source.take(at, _NODE.size, "a B-tree node"))
        if signature != b"TREE" or found != kind:
            raise H5Error(f"no B-tree node of kind {kind} at {at:,}")
        if expected is not None and level != expected:
            raise H5Error(f"a B-tree node of level {level} at {at:,} where {expected} was to be")
        step = key_size + _POINTER
        body = source.take(at + _NODE.size, count * step, "a B-tree node")
        children = [
            (body[i : i + key_size], int.from_bytes(body[i + key_size : i + step], "little"))
            for i in range(0, len(body), step)
        ]
        if any(address == UNDEFINED for _, address in children):
            raise H5Error(f"a B-tree node at {at:,} that leads to nowhere")
        if level:
            waiting += [(address, level - 1) for _, address in reversed(children)]
        else:
            yield from children
