"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place if the block ends well.

    The temporary file exists from the start, so a place that cannot be written to shows before
    any work is done. If the block raises, it is removed and an older file stays as it was.

    Raises:
        OSError: the folder is not there or cannot be written to, or ``path`` is a folder.

    Example:
        >>> with replacing("notes.txt") as temporary:  # doctest: +SKIP
        ...     temporary.write_text("all of it")
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(target.parent)!r} to write to")
    if target.is_dir():
        raise IsADirectoryError(f"{str(target)!r} is a folder")
    prefix = f".{target.name[:40]}."  # not all of it: the longest name that is allowed fits
    # Named before it is there: a signal at any moment finds what is to be removed.
    name = target.parent / f"{prefix}{secrets.token_hex(8)}.tmp"
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield name
        _settle(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _settle(written: Path, target: Path) -> None:
    """Flush to disk and move into place, with the mode a plain write would have given."""
    if target.exists():
        mode = stat.S_IMODE(target.stat().st_mode)
    else:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    os.chmod(written, mode)
    with open(written, "rb+") as flushed:
        os.fsync(flushed.fileno())
    os.replace(written, target)
