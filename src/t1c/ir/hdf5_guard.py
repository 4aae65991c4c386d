"""Looking into an HDF5 file that is hostile until proven otherwise.

The bytes are read by ``h5``, whose work is bounded by the size of the file. Here links, external
data, huge declarations and loops are refused before anything is read; what is wrong is collected,
so that one error lists it all. The readers of ``.t1c`` and ``.nir`` build on this.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from . import checksums
from .errors import Problem, T1CFormatError
from .fields import Array, show
from .file_kinds import HDF5_FILE, WHOLE, found_instead
from .h5 import Dataset, File, Group, H5Error, Link, OverspentError, TooMuchTextError, is_hdf5
from .metadata import MAX_DEPTH

StrPath = str | os.PathLike[str]

# Deflate cannot do better than 1032:1; a dataset that claims more is not data. What is large must
# not be packed that tightly: weights are not, and zeros are not worth a file that fills the memory.
MOST_COMPRESSED = 1040
LARGE, MOST_COMPRESSED_LARGE = 2**26, 32

MOST_PROBLEMS = 1000
"""Who has read of so many does not need the rest, which a hostile file may have by the million."""

LONGEST_SHOWN = 200

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
    if not os.path.isfile(path) or not is_hdf5(path):
        found, remedy = found_instead(path)
        if found == HDF5_FILE:
            found, remedy = "a damaged file", WHOLE
        raise T1CFormatError(Problem(f"{found}, not an HDF5 file", kind, remedy, str(path)))
    try:
        with open(path, "rb", buffering=0) as raw:
            yield guard(File(raw.fileno()), path)
    except (H5Error, OSError) as cause:
        raise T1CFormatError(
            Problem(
                f"the file is truncated or damaged ({cause})",
                remedy="Export it again, or check that it arrived whole.",
                where=str(path),
            )
        ) from cause


def shown(name: str) -> str:
    """A name as a message shows it: a hostile file has names of 64 KiB, within one another."""
    return name if len(name) <= LONGEST_SHOWN else f"{name[: LONGEST_SHOWN - 3]}..."


class Guard:
    """Walks an open file once, each object at most once, collecting what is wrong with it.

    Args:
        file: the open file.
        path: of the file, for messages.

    Attributes:
        root: the group that all others are in.
        problems: what is wrong, in the order in which it was found.
        told: why the last ``entry`` was not read is among them.
    """

    def __init__(self, file: File, path: StrPath) -> None:
        self.file = file
        self.path = path
        self.root = file.root
        self.problems: list[Problem] = []
        self.told = False
        self.seen: set[int] = set()
        # What the file can hold, and what was taken from it so far: many small things that lead
        # to the same bytes come to as much as one large one.
        self.size = file.source.end
        self.plain = self.unpacked = self.text = 0
        self.sums: set[int] | None = None
        self.paths = WeakKeyDictionary({self.root: checksums.path("")})

    def expect_checksums(self) -> None:
        """From here on, check what is read against the checksums in the file, if it has any."""
        if checksums.GROUP not in self.root.links:
            return
        group = self.entry(self.root, checksums.GROUP, "/checksums")
        kinds = self.names(group) if isinstance(group, Group) else []
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

    def _check(self, sums: set[int], sum_of: int, where: str, what: str) -> None:
        """Note a part of the file that is not what was written."""
        if sum_of not in sums:
            self.problem(
                where,
                f"{what} not as written: the checksum differs",
                "an undamaged file",
                "Fetch it again, or restore it from a copy. Read with verify=False it is taken as "
                "it is.",
            )

    def problem(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        """Note something that is wrong, and go on.

        Raises:
            T1CFormatError: too much is wrong to go on; it holds all of it.
        """
        self.problems.append(Problem(found, expected, remedy, where))
        if len(self.problems) >= MOST_PROBLEMS:
            more = Problem("and more, which were not looked for")
            raise T1CFormatError([*self.problems, more], str(self.path))

    def wrong(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        """Note that the last ``entry`` is not what belongs there, unless it is told already why."""
        if not self.told:
            self.problem(where, found, expected, remedy)

    def groups(self, group: Group) -> list[str]:
        """The names of the groups in a group, found without following a link."""
        return [
            name
            for name in self.names(group)
            if group.links[name].is_hard and self._is_group(group.links[name])
        ]

    def names(self, group: Group) -> list[str]:
        """The names in a group, in the order in which they were created if the file knows it."""
        found = []
        for name in group.links:
            if isinstance(name, str):
                found.append(name)
            else:
                self.problem(
                    f"in {group.name or '/'}",
                    f"the name {name[:LONGEST_SHOWN]!r}",
                    "UTF-8",
                    "Rename it.",
                )
        return found

    def tree(self, group: Group, where: str, depth: int = 0) -> dict[str, Any]:
        """All that a group holds, nested groups as dicts."""
        if depth > MAX_DEPTH:
            self.problem(where, "nested too deeply", f"at most {MAX_DEPTH} levels")
            return {}
        found = {}
        for name in self.names(group):
            place = f"{where}.{shown(name)}"
            value = self.entry(group, name, place)
            found[name] = self.tree(value, place, depth + 1) if isinstance(value, Group) else value
        return found

    def entry(self, group: Group, name: str, where: str) -> Any:
        """A group, or the value of a dataset: text, a list of text, a scalar or an array.

        None if there is nothing of that name, or nothing that may be read.
        """
        before = len(self.problems)
        found = self._entry(group, name, where)
        self.told = len(self.problems) > before
        return found

    def _entry(self, group: Group, name: str, where: str) -> Any:
        link = group.links.get(name)
        if link is None:
            return None
        if not link.is_hard:
            kind = "an external link" if link.is_external else "a soft link"
            self.problem(
                where, kind, "the data itself", "Links are refused: they can lead anywhere."
            )
            return None
        if link.address in self.seen:
            self.problem(where, "the same data linked a second time", "each group and dataset once")
            return None
        self.seen.add(link.address)
        try:
            item = self.file.open(link.address, f"{group.name}/{shown(name)}")
            if isinstance(item, Dataset):
                value = self._value(item, where)
                if self.sums is not None and value is not None:
                    sum_of = checksums.of_value(checksums.path(name, self.paths[group]), value)
                    self._check(self.sums, sum_of, where, "its content is")
                return value
        except OverspentError:
            raise
        except UnicodeDecodeError:
            self.problem(where, "text that is not UTF-8", "UTF-8")
            return None
        except H5Error as cause:
            self.problem(where, f"data that cannot be read ({cause})", "an undamaged file")
            return None
        if item is None:
            self.problem(where, "a named type", "a group or a dataset")
        elif self.sums is not None:
            path = self.paths[item] = checksums.path(name, self.paths[group])
            names = [n for n in item.links if isinstance(n, str)]
            self._check(
                self.sums, checksums.of_group(path, names), f"in {item.name}", "the names are"
            )
        return item

    def _is_group(self, link: Link) -> bool:
        try:
            return isinstance(self.file.open(link.address, ""), Group)
        except OverspentError:
            raise
        except H5Error:
            return False

    def _value(self, data: Dataset, where: str) -> Any:
        problem = _unreadable(data) or self._too_much(data)
        if problem:
            self.problem(where, *problem)
            return None
        if not data.type.is_text:
            values = self._numbers(data)
            return values if data.shape else values[()]
        try:
            raw, size = data.texts(self.size - self.text)
        except TooMuchTextError:
            self.problem(where, "more text than the file can hold", "each text once")
            return None
        self.text += size
        texts = [text.decode() for text in raw]
        if not data.shape:
            return texts[0]
        if len(data.shape) == 1:
            return texts
        table = np.empty(len(texts), object)
        table[:] = texts
        return table.reshape(data.shape).tolist()

    def _numbers(self, data: Dataset) -> Array:
        """The entries of a dataset that may be read."""
        return data.numbers()

    def _too_much(self, data: Dataset) -> tuple[str, str] | None:
        """Why a dataset is not read after all that was: (found, expected), or None if it may be.

        No two datasets of a file share their bytes, unless somebody made it so.
        """
        declared = data.declared
        packed = MOST_COMPRESSED if declared < LARGE else MOST_COMPRESSED_LARGE
        if declared > data.stored * (packed if data.filters else 1):
            return (
                f"{declared:,} bytes declared, {data.stored:,} stored",
                "as much data as the shape says",
            )
        if data.filters:
            self.unpacked += declared
            total, most = self.unpacked, max(LARGE, MOST_COMPRESSED_LARGE * self.size)
        else:
            self.plain += declared
            total, most = self.plain, self.size
        if total > most:
            return f"with it {total:,} bytes from a file of {self.size:,}", f"at most {most:,}"
        return None


def _unreadable(data: Dataset) -> tuple[str, str] | None:
    """Why the data must not be read: (found, expected), or None if they may."""
    if data.empty:
        return "an empty dataset", "a value"
    if data.elsewhere:
        return "data kept in another file", "the data itself"
    if data.type.unreadable:
        return f"data of type {data.type.unreadable}", "text, numbers or booleans"
    if data.unknown_filter:
        return f"data packed with {data.unknown_filter}", "gzip or lzf, or data that are not packed"
    if 0 in data.shape and max(data.shape) > MOST_PROBLEMS:
        return f"an array of shape {data.shape}, which holds nothing", "data"
    return None
