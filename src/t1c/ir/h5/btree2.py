"""The newer B-tree, whose nodes hold records and are summed."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .checksum import verify
from .source import UNDEFINED, H5Error, Source, bytes_for

_HEAD = struct.Struct("<4sBBIHHBBQHQI")
_NODE_HEAD, _SUM = 6, 4
_DEEPEST = 32


def records(source: Source, at: int, kind: int, size: int) -> Iterator[bytes]:
    """The records of a tree, each node's in their order.

    Args:
        source: the file.
        at: the address of the tree.
        kind: what it must index.
        size: what a record must have in bytes.

    Raises:
        H5Error: a node does not lie in the file, or is not well formed; or there are more or fewer
            records than the tree says.
    """
    head = source.take(at, _HEAD.size, "a B-tree")
    signature, version, found, node, stated, depth, _, _, root, count, total, _ = _HEAD.unpack(head)
    if signature != b"BTHD" or version or found != kind:
        raise H5Error(f"no B-tree of kind {kind} at {at:,}")
    verify(head, "the B-tree", at)
    if stated != size or depth > _DEEPEST:
        raise H5Error(f"a B-tree of records of {stated} bytes, {depth} deep, at {at:,}")
    widths = _widths(node, size, depth)
    seen = 0
    waiting = [] if root == UNDEFINED else [(root, count, depth)]
    while waiting:
        address, count, level = waiting.pop()
        pointer = 8 + sum(widths[level - 1]) if level else 0
        used = _NODE_HEAD + count * size + (count + 1) * pointer * bool(level) + _SUM
        if used > node:
            raise H5Error(f"{count:,} records in a B-tree node of {node:,} bytes at {address:,}")
        block = source.take(address, used, "a B-tree node")
        if block[:6] != (b"BTIN" if level else b"BTLF") + bytes((0, kind)):
            raise H5Error(f"no B-tree node of level {level} at {address:,}")
        verify(block, "the B-tree node", address)
        end = _NODE_HEAD + count * size
        seen += count
        yield from (block[i : i + size] for i in range(_NODE_HEAD, end, size))
        if level:
            width = widths[level - 1][0]
            for i in range(end, len(block) - _SUM, pointer):
                below = int.from_bytes(block[i + 8 : i + 8 + width], "little")
                waiting.append((int.from_bytes(block[i : i + 8], "little"), below, level - 1))
    if seen != total:
        raise H5Error(f"{seen:,} records in the B-tree at {at:,}, which states {total:,}")


def _widths(node: int, size: int, depth: int) -> list[tuple[int, int]]:
    """How many bytes a pointer to a node of each level takes to say its records, and all below."""
    most = max((node - _NODE_HEAD - _SUM) // size, 0)
    width = bytes_for(most)
    widths = [(width, 0)]
    below = most
    for _ in range(1, depth):
        pointer = 8 + width + widths[-1][1]
        most = max((node - _NODE_HEAD - _SUM - pointer) // (size + pointer), 0)
        below = (most + 1) * below + most
        widths.append((width, bytes_for(below)))
    return widths
