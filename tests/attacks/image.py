"""An HDF5 file put together piece by piece, as no library would."""

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from t1c.ir.h5.checksum import lookup3

UNDEFINED = 2**64 - 1
MOST_TEXTS = 60_000
GROUP_NODE, CHUNK_NODE = 0, 1
DATASPACE, LINK_INFO, DATATYPE, LINK, LAYOUT, FILTERS, CONTINUATION, TABLE = (
    1, 2, 3, 6, 8, 11, 16, 17,
)  # fmt: skip
DEFLATE = struct.pack("<BB6xHHHHII", 1, 1, 1, 0, 0, 1, 9, 0)
FLOAT32 = bytes.fromhex("11201f00040000000000200017080017 7f000000 00000000")
FLOAT64 = bytes.fromhex("11203f00080000000000400034 0b0034ff030000 00000000")
INT64 = bytes.fromhex("1008000008000000 00004000 00000000")
TEXT = bytes.fromhex("1901010010000000 1000000001000000 00000800 00000000")


class Image:
    """The bytes of a file that grows.

    Attributes:
        raw: all of them; the first 96 are the superblock's.
    """

    def __init__(self) -> None:
        self.raw = bytearray(96)

    def put(self, piece: bytes) -> int:
        """Put a piece at the end, and say where it lies."""
        self.raw += bytes(-len(self.raw) % 8)
        at = len(self.raw)
        self.raw += piece
        return at

    def over(self, at: int, piece: bytes) -> None:
        """Put a piece over what is there."""
        self.raw[at : at + len(piece)] = piece

    @property
    def end(self) -> int:
        """Where the next piece will lie."""
        return -(-len(self.raw) // 8) * 8

    def closed(self, root: int, end: int | None = None) -> bytes:
        """The file with its superblock.

        Args:
            root: where the root's header lies.
            end: where the file is said to end; None: where it does.
        """
        head = struct.pack("<8sBBBBBBBBHHI", b"\x89HDF\r\n\x1a\n", 0, 0, 0, 0, 0, 8, 8, 0, 4, 16, 0)
        end = len(self.raw) if end is None else end
        self.over(
            0, head + struct.pack("<QQQQQQII16x", 0, UNDEFINED, end, UNDEFINED, 0, root, 0, 0)
        )
        return bytes(self.raw)

    # Objects -------------------------------------------------------------------------------------

    def header(self, *messages: tuple[int, bytes]) -> int:
        """An object header of version 1."""
        body = b"".join(message(*m) for m in messages)
        return self.put(struct.pack("<BBHII4x", 1, 0, len(messages), 1, len(body)) + body)

    def group(self, links: Mapping[str, int]) -> int:
        """A group of a few names."""
        heap, offsets = self.heap([name.encode() for name in links])
        entries = zip(offsets, links.values(), strict=True)
        tree = self.tree(GROUP_NODE, 0, [(bytes(8), self.entries(entries))])
        return self.header((TABLE, struct.pack("<QQ", tree, heap)))

    def heap(self, names: Sequence[bytes]) -> tuple[int, list[int]]:
        """A local heap, and where in it each name stands."""
        data, offsets = bytearray(8), []
        for name in names:
            offsets.append(len(data))
            data += name + b"\0"
        data += bytes(-len(data) % 8)
        at = self.end
        self.put(struct.pack("<4s4xQQQ", b"HEAP", len(data), 1, at + 32) + data)
        return at, offsets

    def entries(self, entries: Iterable[tuple[int, int]]) -> int:
        """The entries of a group: offset of the name, and where the object lies."""
        entries = list(entries)
        body = b"".join(struct.pack("<QQ24x", *entry) for entry in entries)
        return self.put(struct.pack("<4sBxH", b"SNOD", 1, len(entries)) + body)

    def tree(self, kind: int, level: int, children: Sequence[tuple[bytes, int]]) -> int:
        """A node of a B-tree: the key before each child, and where it lies."""
        head = struct.pack("<4sBBHQQ", b"TREE", kind, level, len(children), UNDEFINED, UNDEFINED)
        body = b"".join(key + struct.pack("<Q", at) for key, at in children)
        return self.put(head + body + bytes(8))

    def texts(self, texts: Sequence[bytes]) -> tuple[int, bytes]:
        """Global heaps, and what refers to their texts one after another; where the first lies."""
        first, references = self.end, b""
        for start in range(0, len(texts), MOST_TEXTS):
            part = texts[start : start + MOST_TEXTS]
            body = b"".join(
                struct.pack("<HH4xQ", i, 0, len(text)) + text + bytes(-len(text) % 8)
                for i, text in enumerate(part, 1)
            )
            at = self.put(struct.pack("<4sB3xQ", b"GCOL", 1, 16 + len(body)) + body)
            references += b"".join(
                struct.pack("<IQI", len(text), at, i) for i, text in enumerate(part, 1)
            )
        return first, references

    def dataset(self, kind: bytes, shape: Sequence[int], data: bytes) -> int:
        """An array in one piece."""
        return self.laid(kind, shape, contiguous(self.put(data), len(data)))

    def laid(
        self, kind: bytes, shape: Sequence[int], layout: bytes, *more: tuple[int, bytes]
    ) -> int:
        """An array whose data lie as ``layout`` says."""
        return self.header((DATASPACE, space(shape)), (DATATYPE, kind), (LAYOUT, layout), *more)

    # A network -----------------------------------------------------------------------------------

    def network(self, hidden: int, name: str = "hidden") -> bytes:
        """A sound network, as .t1c and as .nir, that has an object among its notes."""
        return self.closed(
            self.group({"version": self.text("0.0.1"), **self.graphs({name: hidden})})
        )

    def graphs(self, notes: Mapping[str, int]) -> dict[str, int]:
        """The two groups of a network, one for either format."""
        ends = ("a", "b")

        def nodes() -> int:
            kinds = zip(ends, ("Input", "Output"), strict=True)
            shape = np.array([3]).tobytes()
            return self.group(
                {
                    name: self.group(
                        {"type": self.text(kind), "shape": self.dataset(INT64, (1,), shape)}
                    )
                    for name, kind in kinds
                }
            )

        def named(names: Sequence[str], shape: Sequence[int]) -> int:
            _, references = self.texts([name.encode() for name in names])
            return self.dataset(TEXT, shape, references)

        edges = self.group({"src": named(["a"], (1,)), "dst": named(["b"], (1,))})
        # No object may be linked twice, so the notes are read through whichever is asked for.
        return {
            "graph": self.group(
                {
                    "type": self.text("Graph"),
                    "nodes": nodes(),
                    "edges": edges,
                    "metadata": self.group(notes),
                }
            ),
            "node": self.group(
                {
                    "type": self.text("NIRGraph"),
                    "nodes": nodes(),
                    "edges": named(ends, (1, 2)),
                    "metadata": self.group(notes),
                }
            ),
        }

    def text(self, text: str) -> int:
        """A single text."""
        _, reference = self.texts([text.encode()])
        return self.dataset(TEXT, (), reference)


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    """A message of a header of version 1."""
    body += bytes(-len(body) % 8)
    return struct.pack("<HHB3x", kind, len(body), flags) + body


def space(shape: Sequence[int]) -> bytes:
    """A dataspace."""
    return struct.pack(f"<BBB5x{len(shape)}Q", 1, len(shape), 0, *shape)


def contiguous(at: int, size: int) -> bytes:
    """A layout in one piece."""
    return struct.pack("<BBQQ", 3, 1, at, size)


def chunked(tree: int, chunk: Sequence[int], entry: int) -> bytes:
    """A layout in chunks."""
    return struct.pack(f"<BBBQ{len(chunk) + 1}I", 3, 2, len(chunk) + 1, tree, *chunk, entry)


def chunk_key(size: int, place: Sequence[int]) -> bytes:
    """What stands before a chunk in its tree."""
    return struct.pack(f"<II{len(place) + 1}Q", size, 0, *place, 0)


def summed(block: bytes) -> bytes:
    """A block with its checksum behind it."""
    return block + struct.pack("<I", lookup3(block))
