"""Writing a file beside its place, and moving it there at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .attributes import hand_on
from .failures import refusal, told
from .target import Target, target_of
from .temporary import Temporary, remove_leftovers

AT_ONCE = 2**20
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What comes of writing alone, for which the system names no file."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place if the block ends well.

    The temporary file exists from the start, so a place that cannot be written to shows before any
    work is done. If the block raises, it is removed and an older file stays as it was; if the
    process is killed or the machine stops, the older file is there or the new one, whole, and the
    next write into the folder removes what was left. The older file's owner, mode, access list and
    extended attributes pass to the new one, where that is permitted. A symbolic link stays, and
    what it leads to is replaced. Into a device, a FIFO and ``/dev/stdout`` the bytes are written
    when all of them are known.

    Raises:
        WriteError: there is no folder, it cannot be written to, or ``path`` must not be replaced: a
            folder, a disk, a socket, a file that is write-protected or has several names; or the
            disk is full. It is an OSError too.

    Example:
        >>> with replacing("notes.txt") as temporary:  # doctest: +SKIP
        ...     temporary.write_text("all of it")
    """
    target = target_of(path)
    temporary = Temporary(target)
    remove_leftovers(temporary.folder)
    try:
        try:
            temporary.make()
        except OSError as cause:
            raise told(target.given, cause) from cause
        yield temporary.path
        try:
            _settle(temporary, target)
        except BrokenPipeError:
            raise  # whoever reads the stream has had enough, which is no failure
        except OSError as cause:
            raise told(target.given, cause) from cause
        temporary.let_go()
    except BaseException as cause:
        temporary.remove()
        if isinstance(cause, OSError) and _is_about(cause, temporary.path):
            raise told(target.given, cause) from cause
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text in UTF-8 to a file, whole or not at all; errors as of ``replacing``."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder, and those that it lies in, where they are not there yet.

    Raises:
        WriteError: it cannot be made.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:
        raise refusal(path, errno.ENOTDIR, "it is a file", "a folder", "Name a folder.") from None
    except OSError as cause:
        raise told(path, cause) from cause


def _is_about(cause: OSError, temporary: Path) -> bool:
    """Whether the system failed to write the file, and not something else in the block."""
    if cause.filename is None:
        return cause.errno in FULL
    return bool(os.fspath(cause.filename) == os.fspath(temporary))


def _settle(temporary: Temporary, target: Target) -> None:
    """Flush to disk and move into place, or pour into a stream."""
    if target.stream:
        with open(temporary.path, "rb") as written, target.opened() as stream:
            shutil.copyfileobj(written, stream, AT_ONCE)
        os.unlink(temporary.path)
        return
    with contextlib.suppress(FileNotFoundError):
        hand_on(target.path, temporary.path)
    with open(temporary.path, "rb+") as written:
        os.fsync(written.fileno())
    os.replace(temporary.path, target.path)
    _flush_folder(target.path.parent)


def _flush_folder(folder: Path) -> None:
    """Have the disk know the new name; some file systems do so by themselves, and refuse."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
