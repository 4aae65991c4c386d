"""What a file of results was made of: a note within it, by which it is known again.

It is the comment of an ``.npz`` archive, or an entry ``t1c`` of the metadata of a ``.parquet``
file. Programs that read the results do not see it.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

MADE_OF = "made of"
"""The entry of a note that says it; others are counts."""

METADATA = b"t1c"
"""The key of the note in a ``.parquet`` file."""


def digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def note_on(path: str | os.PathLike[str], note: dict[str, Any]) -> None:
    """Write a note into an ``.npz`` file that has none.

    Args:
        path: the file.
        note: JSON, with what the results are made of under ``MADE_OF``.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = json.dumps(note).encode()


def noted(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The note in a file of results; None where there is none, or no such file."""
    try:
        note = json.loads(_text(Path(path)))
    except (OSError, ValueError, KeyError, ImportError):
        return None
    return note if isinstance(note, dict) and isinstance(note.get(MADE_OF), dict) else None


def _text(path: Path) -> bytes:
    if path.suffix == ".parquet":
        from pyarrow import parquet

        found: bytes = (parquet.read_metadata(path).metadata or {})[METADATA]
        return found
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment
    except zipfile.BadZipFile as cause:
        raise ValueError(f"no archive ({cause})") from cause
