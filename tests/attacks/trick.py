"""What a trick is: a function that makes a file, and what must be said of it."""

from collections.abc import Callable
from dataclasses import dataclass

from .image import Image

BOTH = ("t1c", "nir")


@dataclass(frozen=True)
class Trick:
    """One way to hurt a reader.

    Attributes:
        name: of the function that makes the file.
        says: what the refusal must hold, so that it is this and nothing else that was refused.
        make: makes a file of about so many bytes.
        formats: as what it is to be read; most are files of both kinds at once.
        unpacks: it is refused once as much is unpacked as a file may hold, however small it is.
    """

    name: str
    says: str
    make: Callable[[int], bytes]
    formats: tuple[str, ...] = BOTH
    unpacks: bool = False


TRICKS: dict[str, Trick] = {}
"""All of them by name."""


def hides(
    says: str, unpacks: bool = False
) -> Callable[[Callable[[Image, int], int]], Callable[[Image, int], int]]:
    """Register a trick that puts an object into an image; the graph holds it among its notes."""

    def register(place: Callable[[Image, int], int]) -> Callable[[Image, int], int]:
        def make(size: int) -> bytes:
            image = Image()
            return image.network(place(image, size))

        _add(Trick(place.__name__, says, make, unpacks=unpacks))
        return place

    return register


def spoils(
    says: str, formats: tuple[str, ...] = BOTH
) -> Callable[[Callable[[int], bytes]], Callable[[int], bytes]]:
    """Register a trick that makes a whole file."""

    def register(make: Callable[[int], bytes]) -> Callable[[int], bytes]:
        _add(Trick(make.__name__, says, make, formats))
        return make

    return register


def _add(trick: Trick) -> None:
    assert trick.name not in TRICKS, trick.name
    TRICKS[trick.name] = trick
