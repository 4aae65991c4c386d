"""Writes the worked hexdump into docs/file-format.md: a small file, read with ``struct`` alone.

Run it with ``python docs/draw_hexdump.py``.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent
FILE = DOCS.parent / "tests" / "data" / "corpus" / "0.0.1" / "Affine.t1c"
PAGE = DOCS / "file-format.md"
BEGIN, END = "<!-- begin: docs/draw_hexdump.py -->", "<!-- end: docs/draw_hexdump.py -->"

Row = tuple[int, int, str]
DATASPACE, DATATYPE, LINK, LAYOUT, CONTINUED, LINKS = 1, 3, 6, 8, 16, 17
"""The kinds of message that are looked at."""


def children(data: bytes, header: int) -> dict[str, int]:
    """What lies in a group: name -> address of its object header.

    Old groups (the root, ``/graph``) have a tree and a heap of names, those that keep an order have
    their links in messages.
    """
    found = {}
    for kind, at, _ in messages(data, header):
        if kind == LINKS:
            tree, heap = struct.unpack_from("<QQ", data, at)
            found |= dict(_old_links(data, tree, heap))
        elif kind == LINK:
            name, address = _link(data, at)
            found[name] = address
    return found


def messages(data: bytes, header: int) -> Iterator[tuple[int, int, int]]:
    """The messages of an object header: (kind, address of the content, its size)."""
    if data[header : header + 4] == b"OHDR":
        yield from _new_messages(data, header)
        return
    count, size = struct.unpack_from("<2xH4xI", data, header)
    parts = [(header + 16, size)]
    while parts and count:
        at, size = parts.pop(0)
        end = at + size
        while at < end and count:
            kind, length = struct.unpack_from("<HH", data, at)
            yield kind, at + 8, length
            if kind == CONTINUED:
                parts.append(struct.unpack_from("<QQ", data, at + 8))
            at += 8 + length
            count -= 1


def _new_messages(data: bytes, header: int) -> Iterator[tuple[int, int, int]]:
    flags = data[header + 5]
    at = header + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
    width = 1 << (flags & 3)
    parts = [(at + width, int.from_bytes(data[at : at + width], "little"))]
    start = 4 + (2 if flags & 4 else 0)
    while parts:
        at, size = parts.pop(0)
        end = at + size
        while at + start <= end:
            kind, length = data[at], int.from_bytes(data[at + 1 : at + 3], "little")
            yield kind, at + start, length
            if kind == CONTINUED:  # elsewhere, behind a signature and before a checksum
                place, more = struct.unpack_from("<QQ", data, at + start)
                parts.append((place + 4, more - 8))
            at += start + length


def _old_links(data: bytes, tree: int, heap: int) -> Iterator[tuple[str, int]]:
    (names,) = struct.unpack_from("<Q", data, heap + 24)
    (entries,) = struct.unpack_from("<H", data, tree + 6)
    for k in range(entries):
        (node,) = struct.unpack_from("<Q", data, tree + 32 + 16 * k)
        (symbols,) = struct.unpack_from("<H", data, node + 6)
        for j in range(symbols):
            name, address = struct.unpack_from("<QQ", data, node + 8 + 40 * j)
            text = data[names + name :]
            yield text[: text.index(0)].decode(), address


def _link(data: bytes, at: int) -> tuple[str, int]:
    flags = data[at + 1]
    at += 2 + (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(data[at : at + width], "little")
    name = data[at + width : at + width + length].decode()
    return name, struct.unpack_from("<Q", data, at + width + length)[0]


def found_at(data: bytes, path: str) -> int:
    """The address of the object header of a path."""
    at = _root(data)
    for name in path.strip("/").split("/"):
        at = children(data, at)[name]
    return at


def content(data: bytes, header: int) -> tuple[int, int]:
    """Where the bytes of a dataset lie, and how many they are."""
    for kind, at, _ in messages(data, header):
        if kind == LAYOUT:
            return struct.unpack_from("<QQ", data, at + 2)
    raise ValueError(header)


def text_at(data: bytes, at: int) -> tuple[int, str]:
    """A text that a dataset refers to: where it lies in a heap, and what it says."""
    size, heap, index = struct.unpack_from("<IQI", data, at)
    at = heap + 16
    while True:
        number, length = struct.unpack_from("<H6xQ", data, at)
        if number == index:
            return at, data[at + 16 : at + 16 + size].decode()
        at += 16 + (length + 7) // 8 * 8


def rows(data: bytes) -> Iterator[Row]:
    """What is shown: (address, bytes, what they say)."""
    yield 0, 8, "HDF5's signature"
    yield 8, 8, f"superblock, version {data[8]}; addresses have {data[13]} bytes"
    (end,) = struct.unpack_from("<Q", data, 40)
    yield 40, 8, f"the file ends at {end:#x}"
    yield 64, 8, f"the root group lies at {_root(data):#x}"
    at, size = content(data, found_at(data, "/version"))
    yield at, size, "`/version`: a length, the address of a heap, a number in it"
    place, version = text_at(data, at)
    yield place, 16, f"there: object {data[place]}, {data[place + 8]} bytes"
    yield place + 16, 8, f"`{version}`"
    at, _ = content(data, found_at(data, "/graph/nodes/node/type"))
    place, kind = text_at(data, at)
    yield place + 16, 8, f"`/graph/nodes/node/type`: `{kind}`, in the same heap"
    header = found_at(data, "/graph/nodes/node/weight")
    yield header, 16, "`/graph/nodes/node/weight`: an object header, and its messages"
    for number, start, length in messages(data, header):
        if number == DATASPACE:
            shape = struct.unpack_from("<QQ", data, start + 8)
            yield start, min(length, 24), f"dataspace: {data[start + 1]} axes, {shape}"
        elif number == DATATYPE:
            (width,) = struct.unpack_from("<I", data, start + 4)
            yield start, 8, f"datatype: class {data[start] & 15} (floating point), {width} bytes"
        elif number == LAYOUT:
            address, size = content(data, header)
            yield start, length, f"layout: in one piece, {size} bytes at {address:#x}"
    at, size = content(data, header)
    for k in range(2):
        numbers = struct.unpack_from("<3d", data, at + 24 * k)
        yield at + 24 * k, 24, f"its numbers: {', '.join(map(repr, numbers))}"
    at, size = content(data, found_at(data, "/checksums/xxh3_64"))
    for k in range(2):
        (number,) = struct.unpack_from("<Q", data, at + 8 * k)
        yield at + 8 * k, 8, f"checksum {k + 1} of {size // 8}: {number}"


def _root(data: bytes) -> int:
    return int(struct.unpack_from("<Q", data, 64)[0])


def section() -> str:
    """The dump as the page shows it."""
    data = FILE.read_bytes()
    lines = []
    for at, size, meaning in rows(data):
        for start in range(0, size, 8):
            part = data[at + start : at + min(start + 8, size)]
            told = meaning if not start else ""
            lines.append(f"{at + start:06x}  {part.hex(' '):23}  {told}".rstrip())
    return "```\n" + "\n".join(lines) + "\n```"


def main() -> int:
    """Put the dump into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{section()}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
