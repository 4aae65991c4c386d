"""Tricks with the names in a group: B-trees, heaps and links."""

import struct

from .image import (
    GROUP_NODE,
    LINK,
    LINK_INFO,
    TABLE,
    UNDEFINED,
    Image,
    summed,
)
from .trick import hides, spoils

WIDTH = 20
"""As many as a node of a tree of HDF5's own has."""


def group(image: Image, tree: int, heap: int) -> int:
    return image.header((TABLE, struct.pack("<QQ", tree, heap)))


@hides("B-tree node")
def tree_that_is_its_own_child(image: Image, size: int) -> int:
    """A node of level 1 whose children are itself."""
    heap, _ = image.heap([])
    at = image.end
    image.tree(GROUP_NODE, 1, [(bytes(8), at)] * WIDTH)
    return group(image, at, heap)


@hides("lies upon what was read before")
def tree_of_a_billion_leaves(image: Image, size: int) -> int:
    """Each node's children are the same one of the level below: 20**9 leaves in nine nodes."""
    heap, _ = image.heap([])
    child = image.entries([(0, 96)])
    for level in range(9):
        child = image.tree(GROUP_NODE, level, [(bytes(8), child)] * WIDTH)
    image.put(bytes(size))
    return group(image, child, heap)


@hides("lies upon what was read before")
def tree_as_deep_as_can_be(image: Image, size: int) -> int:
    """A chain of all levels that a byte can say, the last with the same entries over and over."""
    heap, _ = image.heap([])
    entries = image.entries([(0, 96)])
    child = image.tree(GROUP_NODE, 0, [(bytes(8), entries)] * min(size // 16, 60_000))
    for level in range(1, 256):
        child = image.tree(GROUP_NODE, level, [(bytes(8), child)])
    return group(image, child, heap)


@hides("B-tree node")
def tree_wider_than_the_file(image: Image, size: int) -> int:
    """A node that states 65,535 children."""
    heap, _ = image.heap([])
    tree = image.put(struct.pack("<4sBBHQQ", b"TREE", 0, 0, 65535, UNDEFINED, UNDEFINED))
    return group(image, tree, heap)


@hides("no B-tree node of kind 0")
def tree_of_another_kind(image: Image, size: int) -> int:
    """The chunks of a dataset where the names of a group belong."""
    heap, _ = image.heap([])
    return group(image, image.tree(1, 0, []), heap)


@hides("free space")
def heap_whose_free_list_is_a_circle(image: Image, size: int) -> int:
    """HDF5 allocates an entry for each turn, for ever."""
    heap, _ = image.heap([bytes(32)])
    image.over(heap + 16, struct.pack("<Q", 8))
    image.over(heap + 32 + 8, struct.pack("<QQ", 8, 16))
    return group(image, image.tree(GROUP_NODE, 0, []), heap)


@hides("free space")
def heap_whose_free_list_is_a_long_circle(image: Image, size: int) -> int:
    """The same once around the whole heap."""
    count = size // 16
    heap, _ = image.heap([b"x" * 16 * count])
    image.over(heap + 16, struct.pack("<Q", 8))
    links = [struct.pack("<QQ", 8 + 16 * ((i + 1) % count), 16) for i in range(count)]
    image.over(heap + 32 + 8, b"".join(links))
    return group(image, image.tree(GROUP_NODE, 0, []), heap)


@hides("the names of a local heap")
def names_of_three_gigabytes(image: Image, size: int) -> int:
    """A size that lies."""
    heap, _ = image.heap([b"x"])
    image.over(heap + 8, struct.pack("<Q", 3_000_000_000))
    return group(image, image.tree(GROUP_NODE, 0, []), heap)


@hides("names that lie upon one another")
def names_within_names(image: Image, size: int) -> int:
    """Each name is the last but for its first letter: n*n/2 bytes of names."""
    count = min(size // 50, 60_000)
    heap, (offset,) = image.heap([b"x" * count])
    entries = image.entries([(offset + i, 96) for i in range(count)])
    return group(image, image.tree(GROUP_NODE, 0, [(bytes(8), entries)]), heap)


@hides("beyond its end")
def name_without_an_end(image: Image, size: int) -> int:
    """The heap ends before the name does."""
    heap, (offset,) = image.heap([b"x" * 15])
    image.over(heap + 32 + 8 + 15, b"x" * 9)
    entries = image.entries([(offset, 96)])
    return group(image, image.tree(GROUP_NODE, 0, [(bytes(8), entries)]), heap)


@hides("a name twice")
def one_name_for_two(image: Image, size: int) -> int:
    """Which of them is it?"""
    heap, offsets = image.heap([b"x", b"x"])
    entries = image.entries((offset, 96) for offset in offsets)
    return group(image, image.tree(GROUP_NODE, 0, [(bytes(8), entries)]), heap)


@hides("nested too deeply")
def groups_in_groups(image: Image, size: int) -> int:
    """As deep as the file is long."""
    inner = image.group({})
    for _ in range(size // 200):
        inner = image.group({"g": inner})
    return inner


@hides("linked a second time")
def group_within_itself(image: Image, size: int) -> int:
    """A group that holds itself."""
    heap, (offset,) = image.heap([b"self"])
    at = image.end
    image.header((TABLE, bytes(16)))
    entries = image.entries([(offset, at)])
    tree = image.tree(GROUP_NODE, 0, [(bytes(8), entries)])
    image.over(at + 24, struct.pack("<QQ", tree, heap))
    return at


@hides("a soft link")
def soft_links_without_number(image: Image, size: int) -> int:
    """More problems than anybody wants to read."""
    links = [
        (LINK, bytes((1, 8, 1, 8)) + f"{i:08d}".encode() + struct.pack("<H", 1) + b"/")
        for i in range(min(size // 40, 60_000))
    ]
    nothing = struct.pack("<BBQQ", 0, 0, UNDEFINED, UNDEFINED)
    return image.header((LINK_INFO, nothing), *links)


@hides("an external link")
def link_to_another_file(image: Image, size: int) -> int:
    """What it leads to must not even be looked at."""
    body = b"\0/etc/passwd\0/\0"
    link = bytes((1, 8, 64, 1)) + b"x" + struct.pack("<H", len(body)) + body
    nothing = struct.pack("<BBQQ", 0, 0, UNDEFINED, UNDEFINED)
    return image.header((LINK_INFO, nothing), (LINK, link))


@hides("a soft link")
def links_as_short_as_can_be(image: Image, size: int) -> int:
    """Seventeen bytes each in one header of version 2, whose checksum is right."""
    start = bytes((LINK, 13, 0, 0)) + bytes((1, 8, 1, 6))
    links = [start + f"{i:06x}".encode() + b"\1\0/" for i in range(size // 17)]
    nothing = bytes((LINK_INFO, 18, 0, 0)) + struct.pack("<BBQQ", 0, 0, UNDEFINED, UNDEFINED)
    body = nothing + b"".join(links)
    return image.put(summed(b"OHDR" + bytes((2, 2)) + struct.pack("<I", len(body)) + body))


@spoils("a soft link")
def names_as_long_as_can_be(size: int) -> bytes:
    """Notes in groups whose names have 64 KiB each, so that each path has half a megabyte."""
    image = Image()
    depth = max(min(size // 2**18, 12), 1)
    nothing = struct.pack("<BBQQ", 0, 0, UNDEFINED, UNDEFINED)
    links = [
        (LINK, bytes((1, 8, 1, 4)) + f"{i:04d}".encode() + struct.pack("<H", 1) + b"/")
        for i in range(999)
    ]
    inner = image.header((LINK_INFO, nothing), *links)
    for _ in range(depth):
        inner = image.group({"n" * (2**16 - 1): inner})
    return image.network(inner)


# The structures of version 2 ---------------------------------------------------------------------


def dense(image: Image, heap: int, tree: int) -> int:
    """A group that keeps its links in a fractal heap."""
    return image.header((LINK_INFO, struct.pack("<BBQQ", 0, 0, heap, tree)))


def fractal(image: Image, root: int, rows: int, width: int = 4) -> int:
    """A fractal heap whose direct blocks have 512 bytes at least and 65,536 at most."""
    head = struct.pack(
        "<4sBHHBI12QHQQHHQH",
        b"FRHP", 0, 7, 0, 2, 4096, *[0] * 12, width, 512, 65536, 32, 1, root, rows,
    )  # fmt: skip
    return image.put(summed(head))


def index(image: Image, root: int, count: int, total: int, depth: int = 0) -> int:
    """A B-tree of names with nodes of 512 bytes."""
    head = struct.pack("<4sBBIHHBBQHQ", b"BTHD", 0, 5, 512, 11, depth, 100, 40, root, count, total)
    return image.put(summed(head))


@hides("belongs elsewhere in it")
def fractal_heap_within_itself(image: Image, size: int) -> int:
    """An indirect block whose indirect children, from row 9 on, are itself."""
    heap, at = image.end, image.end + 152
    fractal(image, at, 20)
    image.raw += bytes(at - len(image.raw))
    block = b"FHIB\0" + struct.pack("<QI", heap, 0)
    image.put(summed(block + struct.pack("<Q", UNDEFINED) * 36 + struct.pack("<Q", at) * 44))
    image.put(bytes(size))
    return dense(image, heap, index(image, UNDEFINED, 0, 0))


@hides("block of a fractal heap")
def fractal_heap_of_endless_rows(image: Image, size: int) -> int:
    """65,535 rows of 32,768 blocks, each row twice as large as the last."""
    return dense(image, fractal(image, 96, 65535, 32768), index(image, UNDEFINED, 0, 0))


@hides("not in the fractal heap")
def index_of_a_thousand_million_names(image: Image, size: int) -> int:
    """Each inner node has twenty children, which are the same one; all checksums are right.

    The names that it leads to run out first: no two share their bytes either.
    """
    heap = fractal(image, UNDEFINED, 0)
    record = bytes(11)
    child = image.put(summed(b"BTLF\0\5" + record * 40))
    below, count = 40, 40
    for level in range(1, 4):
        # Where it lies, its records in one byte, and from level 2 on all below it in two.
        pointer = struct.pack("<QB", child, count) + below.to_bytes(2, "little") * (level > 1)
        count = 19
        child = image.put(summed(b"BTIN\0\5" + record * count + pointer * 20))
        below = 20 * below + count if level < 3 else 0
        below %= 2**16
    image.put(bytes(size))
    return dense(image, heap, index(image, child, count, 2**40, depth=3))


@hides("records in the B-tree")
def index_that_miscounts(image: Image, size: int) -> int:
    """2**60 records are stated, none is there."""
    return dense(image, fractal(image, UNDEFINED, 0), index(image, UNDEFINED, 0, 2**60))


@hides("not in the fractal heap")
def index_of_the_same_name_for_ever(image: Image, size: int) -> int:
    """Every record leads to the same link."""
    heap = image.end
    block_at = heap + 152
    fractal(image, block_at, 0)
    image.raw += bytes(block_at - len(image.raw))
    link = bytes((1, 0, 200)) + b"n" * 200 + struct.pack("<Q", 96)
    block = b"FHDB\0" + struct.pack("<QI", heap, 0) + bytes(4) + link
    block += bytes(512 - len(block))
    total = summed(block)[-4:]
    image.put(block[:17] + total + block[21:])
    count = 40
    record = bytes(4) + b"\0" + struct.pack("<I", 21) + struct.pack("<H", len(link))
    leaf = image.put(summed(b"BTLF\0\5" + record * count))
    return dense(image, heap, index(image, leaf, count, count))
