"""Looking into an HDF5 file that is hostile until proven otherwise.

Links, external data, huge declarations and loops are refused before anything is read; what is
wrong is collected, so that one error lists it all. The readers of ``.t1c`` and ``.nir`` build on
this.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TypeVar

import h5py
import numpy as np

from . import checksums
from .errors import Problem, T1CError, T1CFormatError
from .fields import Array, show
from .file_kinds import HDF5_FILE, WHOLE, found_instead
from .hdf5_blocks import Layout, blocks
from .hdf5_heap import longest_object
from .metadata import MAX_DEPTH

StrPath = str | os.PathLike[str]

# Deflate cannot do better than 1032:1; a dataset that claims more is not data. What is large must
# not be packed that tightly: weights are not, and zeros are not worth a file that fills the memory.
MOST_COMPRESSED = 1040
LARGE, MOST_COMPRESSED_LARGE = 2**26, 32
# Text is read a piece at a time: so many bytes if all its entries were the longest in the file, but
# never so few entries that a single long note makes all lists slow.
BYTES_AT_ONCE, FEWEST_AT_ONCE, MOST_AT_ONCE = 2**25, 16, 4096

G = TypeVar("G", bound="Guard")


@contextlib.contextmanager
def opened(path: StrPath, kind: str, guard: type[G]) -> Iterator[G]:
    """A guard over an HDF5 file open for reading; damage in it becomes one kind of error.

    Args:
        path: the file.
        kind: what it should be, for messages: 'a .t1c file'.
        guard: what walks the file.

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
        found, remedy = found_instead(path)
        if found == HDF5_FILE:
            found, remedy = "a damaged file", WHOLE
        raise T1CFormatError(Problem(f"{found}, not an HDF5 file", kind, remedy, str(path)))
    damaged = Problem(
        "its text cannot be read: the heap that holds it is damaged",
        remedy="Export it again, or check that it arrived whole.",
        where=str(path),
    )
    longest = longest_object(path)
    if longest is None:
        raise T1CFormatError(damaged)
    try:
        # A chunk that the cache has no room for would be unpacked for every piece of it.
        with h5py.File(path, "r", rdcc_nbytes=LARGE) as file:
            if file.id.get_create_plist().get_sizes() != (8, 8):
                raise T1CFormatError(damaged)
            yield guard(file, longest)
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
    """Walks an open file once, each object at most once, collecting what is wrong with it.

    Args:
        file: the open file.
        longest_text: no text in it is longer, in bytes.
    """

    def __init__(self, file: h5py.File, longest_text: int) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.seen: set[Any] = set()
        # What the file can hold, and what was taken from it so far: many small things that lead
        # to the same bytes come to as much as one large one.
        self.size: int = file.id.get_filesize()
        self.plain = self.unpacked = self.text = 0
        fitting = BYTES_AT_ONCE // max(1, longest_text)
        self.sums: set[int] | None = None
        # By HDF5's numbers for open groups: asking it for a path takes longer than the checksum.
        self.paths: dict[int, str] = {file.id.id: ""}
        self.texts_at_once = min(max(fitting, FEWEST_AT_ONCE), MOST_AT_ONCE)

    def expect_checksums(self) -> None:
        """From here on, check what is read against the checksums in the file, if it has any."""
        if checksums.GROUP not in self.names(self.file):
            return
        group = self.entry(self.file, checksums.GROUP, "/checksums")
        kinds = self.names(group) if isinstance(group, h5py.Group) else []
        sums = self.entry(group, checksums.KIND, "/checksums") if checksums.KIND in kinds else None
        if not isinstance(sums, np.ndarray) or sums.dtype != np.uint64 or sums.ndim != 1:
            self.problem(
                "/checksums",
                f"checksums of another kind: {kinds or show(sums)}",
                f"a list of numbers {checksums.KIND!r}",
                "Install a later t1c, or read it with verify=False.",
            )
            return
        self.sums = set(sums.tolist())

    def _path(self, group: h5py.Group) -> str:
        """The path of a group from the root, which is ''."""
        path = self.paths.get(group.id.id)
        return (group.name or "").rstrip("/") if path is None else path

    def _check(self, sum_of: int, where: str, what: str) -> bool:
        """Whether a part of the file is what was written; a problem if it is not."""
        if self.sums is None or sum_of in self.sums:
            return True
        self.problem(
            where,
            f"{what} not as written: the checksum differs",
            "an undamaged file",
            "Fetch it again, or restore it from a copy. Read with verify=False it is taken as it "
            "is.",
        )
        return False

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
            found = list(group)
        except (UnicodeDecodeError, RuntimeError, OSError) as cause:
            self.problem(group.name or "", f"its names cannot be read ({cause})")
            return []
        for name in found:
            if not isinstance(name, str):  # h5py leaves as bytes what it cannot decode
                self.problem(f"in {group.name}", f"the name {name!r}", "UTF-8", "Rename it.")
        names = [name for name in found if isinstance(name, str)]
        path = self._path(group)
        if self.sums is not None and path:  # beside the graph others may add what is theirs
            self._check(checksums.of_group(path, names), f"in {path}", "the names are")
        return names

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
        # h5py's low-level calls: its Group and Dataset ask HDF5 the same things several times.
        links, key = group.id.links, name.encode()
        try:
            link = links.get_info(key)
        except (KeyError, RuntimeError):
            if links.exists(key):
                raise
            return None
        if link.type != h5py.h5l.TYPE_HARD:
            kind = "an external link" if link.type == h5py.h5l.TYPE_EXTERNAL else "a soft link"
            self.problem(
                where, kind, "the data itself", "Links are refused: they can lead anywhere."
            )
            return None
        if link.u in self.seen:  # the address of what it leads to
            self.problem(where, "the same data linked a second time", "each group and dataset once")
            return None
        self.seen.add(link.u)
        try:
            item = h5py.h5o.open(group.id, key)
            if isinstance(item, h5py.h5d.DatasetID):
                value = self._value(item, where)
                if self.sums is not None and value is not None:
                    sum_of = checksums.of_value(f"{self._path(group)}/{name}", value)
                    self._check(sum_of, where, "its content is")
                return value
        except UnicodeDecodeError:
            self.problem(where, "text that is not UTF-8", "UTF-8")
            return None
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as cause:
            self.problem(where, f"data that cannot be read ({cause})", "an undamaged file")
            return None
        if isinstance(item, h5py.h5g.GroupID):
            self.paths[item.id] = f"{self._path(group)}/{name}"
            return h5py.Group(item)
        self.problem(where, "a named type", "a group or a dataset")
        return None

    def _value(self, data: h5py.h5d.DatasetID, where: str) -> Any:
        layout = Layout.of(data)
        problem = layout.unreadable() or self._too_much(layout)
        if problem:
            self.problem(where, *problem)
            return None
        values = np.zeros(layout.shape, layout.dtype)
        if layout.dtype.kind == "O":
            if not self._read_texts(data, layout, values):
                self.problem(where, "more text than the file can hold", "each text once")
                return None
        elif values.size:
            data.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        if layout.is_text:
            return _decoded(values.tolist())
        return values if layout.shape else values[()]

    def _too_much(self, layout: Layout) -> tuple[str, str] | None:
        """Why a dataset is not read after all that was: (found, expected), or None if it may be.

        No two datasets of a file share their bytes, unless somebody made it so.
        """
        packed = MOST_COMPRESSED if layout.bytes < LARGE else MOST_COMPRESSED_LARGE
        if layout.bytes > layout.stored * (packed if layout.filters else 1):
            return (
                f"{layout.bytes:,} bytes declared, {layout.stored:,} stored",
                "as much data as the shape says",
            )
        if layout.filters:
            self.unpacked += layout.bytes
            total, most = self.unpacked, max(LARGE, MOST_COMPRESSED_LARGE * self.size)
        else:
            self.plain += layout.bytes
            total, most = self.plain, self.size
        if total > most:
            return f"with it {total:,} bytes from a file of {self.size:,}", f"at most {most:,}"
        return None

    def _read_texts(self, data: h5py.h5d.DatasetID, layout: Layout, texts: Array) -> bool:
        """Fill ``texts`` piece by piece, for many may refer to the same large one.

        Returns:
            Whether all the texts read so far can have been in the file.
        """
        space = data.get_space()
        for start, count in blocks(layout.shape, layout.chunks, self.texts_at_once):
            if self.text > self.size:
                break
            piece = np.zeros(count, layout.dtype)
            if count:
                space.select_hyperslab(start, count)
            data.read(h5py.h5s.create_simple(count) if count else space, space, piece)
            self.text += sum(map(len, piece.flat))
            part: list[Any] = [slice(at, at + n) for at, n in zip(start, count, strict=True)]
            texts[(*part, ...)] = piece
        return self.text <= self.size


def _decoded(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_decoded(text) for text in texts]
    return texts.decode() if isinstance(texts, bytes) else texts
