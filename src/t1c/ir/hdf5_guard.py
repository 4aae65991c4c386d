"""Looking into an HDF5 file that is hostile until proven otherwise.

Links, external data, huge declarations and loops are refused before anything is read; what is
wrong is collected, so that one error lists it all. The readers of ``.t1c`` and ``.nir`` build on
this.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from .errors import Problem, T1CError, T1CFormatError
from .hdf5_heap import endless_heap
from .metadata import MAX_DEPTH

StrPath = str | os.PathLike[str]

# Deflate cannot do better than 1032:1; a dataset that claims more is not data. What is large must
# not be packed that tightly: weights are not, and zeros are not worth a file that fills the memory.
MOST_COMPRESSED = 1040
LARGE, MOST_COMPRESSED_LARGE = 2**26, 32
TEXTS_AT_ONCE = 64


@contextlib.contextmanager
def opened(path: StrPath, kind: str) -> Iterator[h5py.File]:
    """An HDF5 file open for reading; what is damaged in it becomes one kind of error.

    Args:
        path: the file.
        kind: what it should be, for messages: 'a .t1c file'.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is not an HDF5 file, or breaks while it is read.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r}")
    if os.path.isfile(path):
        # Python says what keeps a file from being opened; HDF5 only that it is none of its own.
        with open(path, "rb"):
            pass
    if not os.path.isfile(path) or not h5py.is_hdf5(path):
        raise T1CFormatError(
            Problem(
                "not an HDF5 file, or a damaged one",
                kind,
                "Check that it arrived whole.",
                where=str(path),
            )
        )
    damaged = Problem(
        "its text cannot be read: the heap that holds it is damaged",
        remedy="Export it again, or check that it arrived whole.",
        where=str(path),
    )
    if endless_heap(path):
        raise T1CFormatError(damaged)
    try:
        with h5py.File(path, "r") as file:
            if file.id.get_create_plist().get_sizes() != (8, 8):
                raise T1CFormatError(damaged)
            yield file
    except T1CError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as cause:
        raise T1CFormatError(
            Problem(
                f"the file is truncated or damaged ({cause})",
                remedy="Export it again, or check that it arrived whole.",
                where=str(path),
            )
        ) from cause


class Guard:
    """Walks an open file once, each object at most once, collecting what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.seen: set[Any] = set()

    def problem(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        """Note something that is wrong, and go on."""
        self.problems.append(Problem(found, expected, remedy, where))

    def groups(self, group: h5py.Group) -> list[str]:
        """The names of the groups in a group, found without following a link."""
        return [
            name
            for name in self.names(group)
            if group.get(name, getclass=True, getlink=True) is h5py.HardLink
            and group.get(name, getclass=True) is h5py.Group
        ]

    def names(self, group: h5py.Group) -> list[str]:
        """The names in a group, in the order in which they were created if the file knows it."""
        try:
            return list(group)
        except (UnicodeDecodeError, RuntimeError, OSError) as cause:
            self.problem(group.name or "", f"its names cannot be read ({cause})")
            return []

    def tree(self, group: h5py.Group, where: str, depth: int = 0) -> dict[str, Any]:
        """All that a group holds, nested groups as dicts."""
        if depth > MAX_DEPTH:
            self.problem(where, "nested too deeply", f"at most {MAX_DEPTH} levels")
            return {}
        found = {}
        for name in self.names(group):
            place = f"{where}.{name}"
            value = self.entry(group, name, place)
            found[name] = (
                self.tree(value, place, depth + 1) if isinstance(value, h5py.Group) else value
            )
        return found

    def entry(self, group: h5py.Group, name: str, where: str) -> Any:
        """A group, or the value of a dataset: text, a list of text, a scalar or an array.

        None if there is nothing of that name, or nothing that may be read.
        """
        link = group.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
            self.problem(
                where, kind, "the data itself", "Links are refused: they can lead anywhere."
            )
            return None
        item = group[name]
        token = h5py.h5o.get_info(item.id).addr
        if token in self.seen:
            self.problem(where, "the same data linked a second time", "each group and dataset once")
            return None
        self.seen.add(token)
        if isinstance(item, h5py.Dataset):
            return self._value(item, where)
        if isinstance(item, h5py.Group):
            return item
        self.problem(where, "a named type", "a group or a dataset")
        return None

    def _value(self, data: h5py.Dataset, where: str) -> Any:
        problem = _unreadable(data)
        if problem:
            self.problem(where, *problem)
            return None
        try:
            if h5py.check_string_dtype(data.dtype) is None:
                return data[()]
            if data.shape:
                return self._texts(data, where)
            value = data[()]
            text = value.decode() if isinstance(value, bytes) else data.asstr()[()]
        except UnicodeDecodeError:
            self.problem(where, "text that is not UTF-8", "UTF-8")
            return None
        except (OSError, RuntimeError, ValueError, TypeError, MemoryError) as cause:
            self.problem(where, f"data that cannot be read ({cause})", "an undamaged file")
            return None
        return text if isinstance(text, str) else np.asarray(text).tolist()

    def _texts(self, data: h5py.Dataset, where: str) -> list[Any] | None:
        """An array of text, read in pieces: many entries may refer to the same large one."""
        most = data.file.id.get_filesize()
        found: list[Any] = []
        total = 0
        for start in range(0, len(data), TEXTS_AT_ONCE):
            piece = data[start : start + TEXTS_AT_ONCE]
            total += sum(len(text) for text in np.ravel(piece))
            if total > most:
                self.problem(where, "more text than the file can hold", "each text once")
                return None
            found += _decoded(piece.tolist())
        return found


def _decoded(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_decoded(text) for text in texts]
    return texts.decode() if isinstance(texts, bytes) else texts


def _unreadable(data: h5py.Dataset) -> tuple[str, str] | None:
    """Why a dataset must not be read: (found, expected), or None if it may."""
    layout = data.id.get_create_plist()
    if data.shape is None:
        return "an empty dataset", "a value"
    if layout.get_external_count() or data.is_virtual:
        return "data kept in another file", "the data itself"
    dtype = data.dtype
    if h5py.check_string_dtype(dtype) is None and dtype.kind not in "biuf":
        return f"data of type {dtype}", "text, numbers or booleans"
    declared, stored = data.size * dtype.itemsize, data.id.get_storage_size()
    packed = MOST_COMPRESSED if declared < LARGE else MOST_COMPRESSED_LARGE
    if declared > stored * (packed if layout.get_nfilters() else 1):
        return (
            f"{declared:,} bytes declared, {stored:,} stored",
            "as much data as the shape says",
        )
    return None
