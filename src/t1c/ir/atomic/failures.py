"""What keeps a file from being written: the system's reasons, with what to do about each."""

from __future__ import annotations

import errno
import os

from t1c.ir.errors import Problem, WriteError

ROOM = "Make room there, or write elsewhere."
REASONS: dict[int, tuple[str, str]] = {
    errno.EACCES: ("there is no permission to write it", "Write elsewhere, or ask its owner."),
    errno.EBUSY: (
        "it is mounted by itself, and cannot be replaced",
        "Mount the folder that it lies in, or write elsewhere.",
    ),
    errno.EDQUOT: ("the quota is used up", ROOM),
    errno.EFBIG: ("it grew larger than a file may be here", ROOM),
    errno.EIO: (
        "the device failed while it was written",
        "Write elsewhere, and look after the device.",
    ),
    errno.ELOOP: (
        "its symbolic links lead in a circle",
        "Remove the links, or name the file itself.",
    ),
    errno.ENAMETOOLONG: ("its name is longer than names may be here", "Shorten it."),
    errno.ENOENT: ("there is no folder to write it to", "Make the folder first."),
    errno.ENOSPC: ("there is no space left", ROOM),
    errno.ENOTDIR: ("what should be its folder is a file", "Name a file in a folder."),
    errno.EPERM: ("the system does not permit to write it", "Write elsewhere, or ask its owner."),
    errno.EROFS: ("it lies on a file system that is read-only", "Write elsewhere."),
}
"""Errno -> (what is the matter, what to do)."""
OTHERWISE = "Write elsewhere."


class NoFolderError(WriteError, FileNotFoundError):
    """There is no folder to write to."""


class FolderError(WriteError, IsADirectoryError):
    """A folder lies where a file is to be written."""


class ForbiddenError(WriteError, PermissionError):
    """The file or its folder must not be written to."""


_KINDS: dict[int, type[WriteError]] = {
    errno.ENOENT: NoFolderError,
    errno.EISDIR: FolderError,
    errno.EACCES: ForbiddenError,
    errno.EPERM: ForbiddenError,
}


def refusal(
    path: str | os.PathLike[str], number: int, found: str, expected: str = "", remedy: str = ""
) -> WriteError:
    """The error that says why ``path`` is not written, under the system's number of its kind."""
    kind = _KINDS.get(number, WriteError)
    return kind(Problem(found, expected, remedy, os.fspath(path)), number=number)


def told(path: str | os.PathLike[str], cause: OSError) -> WriteError:
    """What the system said, as an error that names the path and a way out."""
    if isinstance(cause, WriteError):
        return cause
    number = cause.errno or 0
    found, remedy = REASONS.get(number, (cause.strerror or str(cause), OTHERWISE))
    return refusal(path, number, found, remedy=remedy)
