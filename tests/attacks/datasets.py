"""Tricks with data: more declared than there is, packed bombs, bytes that many share."""

import struct
import zlib

from .image import (
    CHUNK_NODE,
    DEFLATE,
    FILTERS,
    FLOAT32,
    FLOAT64,
    TEXT,
    UNDEFINED,
    Image,
    chunk_key,
    chunked,
    contiguous,
    summed,
)
from .trick import hides


@hides("4,398,046,511,104 bytes declared")
def four_tebibytes(image: Image, size: int) -> int:
    """A shape that lies."""
    return image.laid(FLOAT64, (2**29, 2**10), contiguous(image.put(bytes(8)), 8))


@hides("from a file of")
def four_tebibytes_twice_stated(image: Image, size: int) -> int:
    """A shape and a size that lie together."""
    return image.laid(FLOAT64, (2**29, 2**10), contiguous(96, 2**42))


@hides("bytes declared")
def sizes_that_wrap_around(image: Image, size: int) -> int:
    """2**32 x 2**32 entries, which 64 bits count as none."""
    return image.laid(FLOAT32, (2**32, 2**32), contiguous(UNDEFINED, 0))


@hides("which holds nothing")
def nothing_of_enormous_shape(image: Image, size: int) -> int:
    """2**60 lists without an entry."""
    return image.laid(TEXT, (2**60, 0), contiguous(UNDEFINED, 0))


@hides("axes that ends within itself")
def more_axes_than_there_are(image: Image, size: int) -> int:
    """255 axes."""
    at = image.laid(FLOAT32, (1,), contiguous(image.put(bytes(4)), 4))
    image.over(at + 16 + 8 + 1, b"\xff")
    return at


@hides("from a file of")
def arrays_that_share_their_bytes(image: Image, size: int) -> int:
    """As many arrays as fit, each the whole of the same half of the file."""
    at = image.put(bytes(size // 2))
    many = min(size // 600, 30_000)
    return image.group(
        {
            f"{i:08d}": image.laid(FLOAT32, (size // 8,), contiguous(at, size // 8 * 4))
            for i in range(many)
        }
    )


def packed(image: Image, megabytes: int) -> int:
    """So many megabytes of zeros, all the same chunk."""
    block = zlib.compress(bytes(2**20), 9)
    at = image.put(block)
    children = [(chunk_key(len(block), (i * 2**18,)), at) for i in range(megabytes)]
    tree = image.tree(CHUNK_NODE, 0, children)
    return image.laid(FLOAT32, (megabytes * 2**18,), chunked(tree, (2**18,), 4), (FILTERS, DEFLATE))


@hides("lies upon what was read before", unpacks=True)
def one_chunk_for_all(image: Image, size: int) -> int:
    """A thousandth of its size in one chunk, to which all entries of the tree lead."""
    return packed(image, 60)


@hides("bytes declared")
def chunks_of_zeros(image: Image, size: int) -> int:
    """What unpacks to a thousand times its size, honestly."""
    block = zlib.compress(bytes(2**20), 9)
    count = max(size // 1100, 70)
    children = [
        (chunk_key(len(block), (i * 2**18,)), image.put(block)) for i in range(min(count, 60_000))
    ]
    tree = image.tree(CHUNK_NODE, 0, children)
    return image.laid(
        FLOAT32, (len(children) * 2**18,), chunked(tree, (2**18,), 4), (FILTERS, DEFLATE)
    )


@hides("from a file of", unpacks=True)
def many_middling_bombs(image: Image, size: int) -> int:
    """Arrays of 60 megabytes in 60 kilobytes."""
    block = zlib.compress(bytes(2**20), 9)

    def bomb() -> int:
        children = [(chunk_key(len(block), (i * 2**18,)), image.put(block)) for i in range(60)]
        tree = image.tree(CHUNK_NODE, 0, children)
        return image.laid(FLOAT32, (60 * 2**18,), chunked(tree, (2**18,), 4), (FILTERS, DEFLATE))

    return image.group({f"{i:04d}": bomb() for i in range(max(min(size // 80_000, 40), 3))})


@hides("unpacks to more than")
def chunk_larger_than_it_may_be(image: Image, size: int) -> int:
    """A chunk of 4 KiB that unpacks to a hundred times as much."""
    block = zlib.compress(bytes(2**20), 9)
    tree = image.tree(CHUNK_NODE, 0, [(chunk_key(len(block), (0,)), image.put(block))])
    return image.laid(FLOAT32, (1024,), chunked(tree, (1024,), 4), (FILTERS, DEFLATE))


@hides("a chunk of")
def chunks_that_lie_about_their_size(image: Image, size: int) -> int:
    """Four gigabytes each are stated to be stored, so that as much may be declared."""
    at = image.put(bytes(64))
    children = [(chunk_key(2**32 - 1, (i * 2**10,)), at) for i in range(16)]
    tree = image.tree(CHUNK_NODE, 0, children)
    return image.laid(FLOAT32, (16 * 2**10,), chunked(tree, (2**10,), 4), (FILTERS, DEFLATE))


@hides("a chunk of")
def chunks_of_one_entry(image: Image, size: int) -> int:
    """As many chunks as fit, packed one entry each; the last is not in the file."""
    block = zlib.compress(bytes(4))
    count = min(size // 50, 60_000)
    places = [image.put(block) for _ in range(count - 1)]
    children = [(chunk_key(len(block), (i,)), at) for i, at in enumerate([*places, 2**40])]
    tree = image.tree(CHUNK_NODE, 0, children)
    return image.laid(FLOAT32, (count,), chunked(tree, (1,), 4), (FILTERS, DEFLATE))


@hides("chunks are missing")
def chunk_stored_twice(image: Image, size: int) -> int:
    """Two chunks, both the first."""
    block = bytes(64)
    children = [(chunk_key(64, (0,)), image.put(block)) for _ in range(2)]
    tree = image.tree(CHUNK_NODE, 0, children)
    return image.laid(FLOAT32, (32,), chunked(tree, (16,), 4))


@hides("a chunk at")
def chunk_outside(image: Image, size: int) -> int:
    """A chunk that begins behind the last entry."""
    block = bytes(64)
    tree = image.tree(CHUNK_NODE, 0, [(chunk_key(64, (2**40,)), image.put(block))])
    return image.laid(FLOAT32, (16,), chunked(tree, (16,), 4))


@hides("B-tree node")
def tree_of_chunks_within_itself(image: Image, size: int) -> int:
    """A node of the tree of chunks that is its own child."""
    at = image.end
    image.tree(CHUNK_NODE, 1, [(chunk_key(64, (0,)), at)] * 20)
    return image.laid(FLOAT32, (16,), chunked(at, (16,), 4))


@hides("entries in a file of")
def chunks_without_an_index(image: Image, size: int) -> int:
    """2**60 entries in chunks of one, which lie one behind the other: none need be stated."""
    layout = struct.pack("<BBBBBBBBQ", 4, 2, 0, 2, 1, 1, 4, 2, 96)
    return image.laid(FLOAT32, (2**60,), layout)


@hides("an index of chunks")
def index_of_chunks_that_overflows(image: Image, size: int) -> int:
    """2**60 chunks in an index of 28 bytes."""
    head = summed(b"FAHD\0\0" + struct.pack("<BBQQ", 8, 10, 2**60, 96))
    layout = struct.pack("<BBBBBBBBBQ", 4, 2, 0, 2, 1, 1, 4, 3, 10, image.put(head))
    return image.laid(FLOAT32, (2**60,), layout)


@hides("chunks of")
def chunk_of_nothing(image: Image, size: int) -> int:
    """Chunks without entries: as many as one likes."""
    tree = image.tree(CHUNK_NODE, 0, [])
    return image.laid(FLOAT32, (16,), chunked(tree, (0,), 4))


@hides("data kept in another file")
def data_gathered_from_elsewhere(image: Image, size: int) -> int:
    """A virtual dataset: it may name any file."""
    return image.laid(FLOAT32, (16,), struct.pack("<BBQI", 4, 3, 96, 0))


@hides("data kept in another file")
def data_in_another_file(image: Image, size: int) -> int:
    """Bytes of a file that the sender would like to see as weights."""
    external = struct.pack("<B3xHHQ", 1, 1, 1, 96) + struct.pack("<QQQ", 0, 0, 64)
    return image.laid(FLOAT32, (16,), contiguous(UNDEFINED, 64), (7, external))


@hides("packed over and over")
def filters_upon_filters(image: Image, size: int) -> int:
    """A chunk of 60 MiB in 60 KiB, whose bytes are put in order thirty times more."""
    block = zlib.compress(bytes(60 << 20), 9)
    shuffle = struct.pack("<HHHHI4x", 2, 0, 0, 1, 4)
    pipeline = struct.pack("<BB6x", 1, 31) + shuffle * 30 + DEFLATE[8:]
    tree = image.tree(CHUNK_NODE, 0, [(chunk_key(len(block), (0,)), image.put(block))])
    return image.laid(FLOAT32, (15 << 20,), chunked(tree, (15 << 20,), 4), (FILTERS, pipeline))


@hides("data packed with")
def filter_of_somebody_else(image: Image, size: int) -> int:
    """HDF5 would load a library of that number from a folder that the environment names."""
    pipeline = struct.pack("<BB6xHHHH", 1, 1, 31337, 0, 0, 0)
    tree = image.tree(CHUNK_NODE, 0, [(chunk_key(64, (0,)), image.put(bytes(64)))])
    return image.laid(FLOAT32, (16,), chunked(tree, (16,), 4), (FILTERS, pipeline))


@hides("an enumeration")
def enumeration_of_names_without_end(image: Image, size: int) -> int:
    """65,535 names are stated, none of which ends."""
    base = bytes.fromhex("1008000001000000 00000800")
    kind = b"\x18\xff\xff\0" + struct.pack("<I", 1) + base + b"x" * 200
    return image.dataset(kind, (1,), b"\0")


@hides("an enumeration of what are no integers")
def enumerations_within_enumerations(image: Image, size: int) -> int:
    """Eight thousand types, each of the one within it."""
    level = b"\x18\1\0\0" + struct.pack("<I", 1)
    return image.dataset(level * 8000, (1,), b"\0")


@hides("arrays of different lengths")
def lists_within_lists(image: Image, size: int) -> int:
    """Arrays of arrays of arrays, eight thousand deep."""
    level = b"\x19\0\0\0" + struct.pack("<I", 16)
    return image.dataset(level * 8000, (1,), bytes(16))


@hides("floats of 4 bytes")
def floats_of_another_kind(image: Image, size: int) -> int:
    """Floats whose exponent has one bit."""
    kind = bytearray(FLOAT32)
    kind[13] = 1
    return image.dataset(bytes(kind), (1,), bytes(4))


@hides("neither true nor false")
def boolean_of_seven(image: Image, size: int) -> int:
    """NumPy takes any byte for a boolean, and two that differ for true."""
    base = bytes.fromhex("1008000001000000 00000800")
    kind = b"\x18\x02\0\0" + struct.pack("<I", 1) + base
    kind += b"FALSE\0\0\0TRUE\0\0\0\0" + b"\0\1"
    return image.dataset(kind, (1,), b"\x07")
