"""Tricks with text: global heaps and what refers to them."""

import struct

from .image import TEXT, Image
from .trick import hides


def listed(image: Image, references: bytes) -> int:
    return image.dataset(TEXT, (len(references) // 16,), references)


@hides("a text of 3,000,000,000 bytes")
def text_of_three_gigabytes(image: Image, size: int) -> int:
    """A length that HDF5 allocates before it looks for the text."""
    at, _ = image.texts([b"short"])
    return listed(image, struct.pack("<IQI", 3_000_000_000, at, 1))


@hides("global heap")
def heap_of_three_gigabytes(image: Image, size: int) -> int:
    """A collection larger than the file."""
    at, references = image.texts([b"short"])
    image.over(at + 8, struct.pack("<Q", 3_000_000_000))
    return listed(image, references)


@hides("free space of 0 bytes")
def free_space_of_no_size(image: Image, size: int) -> int:
    """HDF5 looks at it for ever."""
    at, references = image.texts([b"short", b"x"])
    image.over(at + 16 + 24, bytes(16))
    return listed(image, references)


@hides("global heap")
def text_that_wraps_around(image: Image, size: int) -> int:
    """A size that leads back to where it stands, modulo 2**64."""
    at, references = image.texts([b"short", b"x"])
    image.over(at + 24, struct.pack("<Q", 2**64 - 16))
    return listed(image, references)


@hides("more text than the file can hold")
def one_text_for_all(image: Image, size: int) -> int:
    """As many references as half of the file holds, each to the same text: the other half."""
    _, reference = image.texts([b"x" * (size // 2)])
    return listed(image, reference * (size // 32))


@hides("more text than the file can hold")
def one_text_for_many_notes(image: Image, size: int) -> int:
    """The same, a dataset for each."""
    _, reference = image.texts([b"x" * (size // 2)])
    return image.group({f"{i:08d}": image.dataset(TEXT, (), reference) for i in range(size // 600)})


@hides("lies upon what was read before")
def heaps_within_heaps(image: Image, size: int) -> int:
    """Each text of a collection is the beginning of another one."""
    count = min(size // 48, 65_000)
    first = image.end
    for i in range(count):
        left = 32 * (count - i) - 16
        image.put(struct.pack("<HHIQ", i + 1, 0, 0, 16) + struct.pack("<4sB3xQ", b"GCOL", 1, left))
    references = [struct.pack("<IQI", 1, first + 16 + 32 * i, i + 2) for i in range(count - 1)]
    return listed(image, b"".join(references))


@hides("no such text")
def text_that_is_not_there(image: Image, size: int) -> int:
    """The collection has no text of that number."""
    at, _ = image.texts([b"short"])
    return listed(image, struct.pack("<IQI", 5, at, 4_000_000_000))


@hides("two texts")
def one_number_for_two(image: Image, size: int) -> int:
    """Which of them is it?"""
    at, references = image.texts([b"short", b"other"])
    image.over(at + 16 + 24, struct.pack("<H", 1))
    return listed(image, references)


@hides("UTF-8")
def text_of_no_letters(image: Image, size: int) -> int:
    """Bytes that are no UTF-8."""
    _, references = image.texts([b"\xff" * max(size // 2, 8)])
    return listed(image, references)
