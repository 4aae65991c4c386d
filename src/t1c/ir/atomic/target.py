"""What lies at a path that is to be written: a file, a stream, or what must be left alone."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .failures import refusal, told

MOST_LINKS = 40
"""So many symbolic links are followed, as Linux does."""


@dataclass(frozen=True)
class Target:
    """Where bytes are to go.

    Attributes:
        given: the path, as messages name it.
        path: where its links lead.
        stream: bytes are written into it, one after the other: a device, a FIFO, or a file that
            this process holds open. It is never replaced.
        descriptor: of the open file, where the path names one (``/dev/stdout``).
    """

    given: str
    path: Path
    stream: bool = False
    descriptor: int | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """A stream, open for writing; a FIFO waits for its reader."""
        if self.descriptor is None:
            with open(self.given, "wb") as stream:
                yield stream
            return
        for printed in (sys.stdout, sys.stderr):
            if printed is not None:
                printed.flush()  # what was printed before comes before
        with open(os.dup(self.descriptor), "wb") as stream:
            yield stream


def target_of(path: str | os.PathLike[str]) -> Target:
    """What a path leads to, links followed.

    Raises:
        WriteError: it must not be written, or cannot be: a folder, a disk, a socket, a file that
            is write-protected or has other names, a place without a folder.
    """
    given = os.fsdecode(path)
    descriptor = own_descriptor(given)
    if descriptor is not None:
        return Target(given, Path(given), True, descriptor)
    try:
        found = os.stat(given)
    except FileNotFoundError:
        return _new(given)
    except OSError as cause:
        raise told(given, cause) from None
    real = Path(os.path.realpath(given))
    _refuse_others(given, found)
    if not stat.S_ISREG(found.st_mode):
        _refuse_protected(given)
        return Target(given, real, stream=True)
    if found.st_nlink > 1:
        raise refusal(
            given,
            errno.EMLINK,
            f"the file has {found.st_nlink} names (hard links)",
            "a file with one name",
            "Replacing it would change what this name stands for, and leave the others as they "
            "are. Remove this name first if that is meant, or write elsewhere.",
        )
    _refuse_protected(given)
    return Target(given, real)


def _new(given: str) -> Target:
    """A file that is not there yet; a link to such a file stays a link."""
    real = Path(os.path.realpath(given))
    if not given:
        raise refusal(given, errno.ENOENT, "the path is empty", "a file", "Name one.")
    if not real.name or given.endswith(os.sep):
        raise refusal(given, errno.EISDIR, "it names a folder", "a file", "Name a file in it.")
    if not real.parent.is_dir():
        raise refusal(
            given,
            errno.ENOENT,
            f"there is no folder {str(real.parent)!r} to write to",
            remedy="Make it first.",
        )
    return Target(given, real)


def _refuse_others(given: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise refusal(given, errno.EISDIR, "it is a folder", "a file", "Name a file in it.")
    kinds = ((stat.S_ISBLK, "a disk or a part of one"), (stat.S_ISSOCK, "a socket"))
    for is_kind, what in kinds:
        if is_kind(found.st_mode):
            raise refusal(
                given,
                errno.ENOTSUP,
                f"it is {what}",
                "a file, a FIFO, or a device that takes bytes",
                "Write a file and copy it from there.",
            )


def _refuse_protected(given: str) -> None:
    """Replacing needs no permission to write to the file itself: who took that away meant it."""
    if not os.access(given, os.W_OK):
        raise refusal(
            given,
            errno.EACCES,
            "it is write-protected",
            remedy="Write elsewhere, or allow it first (chmod u+w).",
        )


def own_descriptor(path: str) -> int | None:
    """The number of an open file of this process that a path names, as ``/dev/stdout`` does."""
    own = {f"/proc/{os.getpid()}/fd", "/dev/fd"}
    for _ in range(MOST_LINKS):
        folder, name = os.path.split(os.path.abspath(path))
        if name.isdecimal() and os.path.realpath(folder) in own:
            return int(name)
        if not os.path.islink(path):
            return None
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return None
