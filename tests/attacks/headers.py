"""Tricks with superblocks and object headers."""

import struct

from .image import (
    CONTINUATION,
    DATASPACE,
    DATATYPE,
    FLOAT32,
    LAYOUT,
    LINK_INFO,
    TABLE,
    UNDEFINED,
    Image,
    contiguous,
    message,
    space,
    summed,
)
from .trick import hides, spoils

SMALL = 96


@spoils("read are 8 and 8")
def addresses_of_four_bytes(size: int) -> bytes:
    """All sizes that follow would be others."""
    raw = bytearray(Image().network(0))
    raw[13:15] = b"\4\4"
    return bytes(raw)


@spoils("it was cut")
def ends_beyond_its_end(size: int) -> bytes:
    """The superblock promises an exabyte."""
    image = Image()
    return image.closed(image.group({}), end=2**60)


@spoils("before it begins")
def ends_before_it_begins(size: int) -> bytes:
    """Nothing lies within the file."""
    image = Image()
    return image.closed(image.group({}), end=0)


@spoils("object header")
def root_in_the_superblock(size: int) -> bytes:
    """The root's header is the signature."""
    return Image().closed(0)


@spoils("no object header")
def root_is_its_own_name_table(size: int) -> bytes:
    """The root lies in a local heap."""
    image = Image()
    at, _ = image.heap([b"graph"])
    return image.closed(at)


@spoils("not an HDF5 file")
def never_a_signature(size: int) -> bytes:
    """Signatures with one wrong byte wherever one may stand."""
    raw = bytearray(size)
    at = 0
    while at + 8 <= size:
        raw[at : at + 8] = b"\x89HDF\r\n\x1a\x0b"
        at = 2 * at or 512
    return bytes(raw)


@hides("lies upon what was read before")
def header_that_goes_on_with_itself(image: Image, size: int) -> int:
    """A continuation that leads to the block in which it stands."""
    at = image.end
    block = message(CONTINUATION, struct.pack("<QQ", at + 16, 24))
    image.put(struct.pack("<BBHII4x", 1, 0, 3, 1, len(block)) + block)
    image.put(bytes(size))
    return at


@hides("lies upon what was read before")
def header_of_blocks_within_blocks(image: Image, size: int) -> int:
    """Each continuation is 24 bytes shorter than the one that it lies in: n*n/48 bytes in all."""
    count = size // 24
    start = image.end + 16
    blocks = [
        message(CONTINUATION, struct.pack("<QQ", start + 24 * (i + 1), 24 * (count - i - 1)))
        for i in range(count - 1)
    ]
    return image.put(
        struct.pack("<BBHII4x", 1, 0, 1, 1, 24 * (count - 1)) + b"".join(blocks) + bytes(24)
    )


@hides("lies upon what was read before")
def headers_within_headers(image: Image, size: int) -> int:
    """A group whose objects begin 16 bytes after one another and all end with the file."""
    count = size // 64
    start = image.end
    for i in range(count):
        left = 16 * (count - i) - 16
        image.put(struct.pack("<BBHII4x", 1, 0, 0, 1, left))
    return image.group({str(i): start + 16 * i for i in range(count)})


@hides("messages in the object header")
def header_of_empty_messages(image: Image, size: int) -> int:
    """As many messages as fit, none of which says anything."""
    count = size // 8
    return image.put(struct.pack("<BBHII4x", 1, 0, 1, 1, 8 * count) + bytes(8 * count))


@hides("beyond the object header")
def message_beyond_its_header(image: Image, size: int) -> int:
    """A message that states 65,528 bytes where 8 are left."""
    body = struct.pack("<HHB3x", DATASPACE, 65528, 0) + bytes(8)
    return image.put(struct.pack("<BBHII4x", 1, 0, 1, 1, len(body)) + body)


@hides("object header of")
def header_of_four_gigabytes(image: Image, size: int) -> int:
    """A header whose size is the largest that it can state."""
    return image.put(struct.pack("<BBHII4x", 1, 0, 1, 1, 2**32 - 8))


@hides("an object header of")
def new_header_of_eight_exabytes(image: Image, size: int) -> int:
    """The same in version 2, whose size has eight bytes."""
    return image.put(b"OHDR" + bytes((2, 3)) + struct.pack("<Q", 2**63))


@hides("lies upon what was read before")
def new_header_that_goes_on_with_itself(image: Image, size: int) -> int:
    """A continuation of version 2 that leads to itself, its checksum right."""
    at = image.end
    first = struct.pack("<BHB", CONTINUATION, 16, 0) + struct.pack("<QQ", at + 32, 28)
    image.put(summed(b"OHDR" + bytes((2, 0, len(first))) + first))
    image.raw += bytes(at + 32 - len(image.raw))
    again = struct.pack("<BHB", CONTINUATION, 16, 0) + struct.pack("<QQ", at + 32, 28)
    image.put(summed(b"OCHK" + again))
    image.put(bytes(size))
    return at


@hides("two dataspace messages")
def two_shapes(image: Image, size: int) -> int:
    """Which of them counts?"""
    return image.header(
        (DATASPACE, space((1,))),
        (DATASPACE, space((2**40,))),
        (DATATYPE, FLOAT32),
        (LAYOUT, contiguous(SMALL, 4)),
    )


@hides("a group and a dataset at once")
def group_and_dataset(image: Image, size: int) -> int:
    """What is looked at first decides what it is."""
    return image.header(
        (TABLE, struct.pack("<QQ", UNDEFINED, UNDEFINED)),
        (DATASPACE, space(())),
        (DATATYPE, FLOAT32),
        (LAYOUT, contiguous(SMALL, 4)),
    )


@hides("a message of kind")
def message_of_the_future(image: Image, size: int) -> int:
    """A message that nobody knows may change what the others mean."""
    return image.header((0x2A, bytes(8)), (LINK_INFO, struct.pack("<BBQQ", 0, 0, *[UNDEFINED] * 2)))


@hides("kept apart")
def type_kept_elsewhere(image: Image, size: int) -> int:
    """A datatype that is shared, with the header in which it stands."""
    body = message(DATASPACE, space(())) + message(DATATYPE, bytes(16), flags=2)
    return image.put(struct.pack("<BBHII4x", 1, 0, 2, 1, len(body)) + body)
