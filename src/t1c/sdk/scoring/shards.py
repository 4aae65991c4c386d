"""Which shards there are, and where the results of each go."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t1c import ir
from t1c.ir.errors import InputError, Problem

from ..made_of import digest
from ..recordings import DATA_SUFFIXES
from ..run_report import StrPath
from .job import Format

SUFFIXES = (*DATA_SUFFIXES, ".parquet", ".tar", ".tar.gz", ".tgz")
"""What is a shard by its name; a store of Zarr is one by what lies in it."""

MARKS = ("zarr.json", ".zgroup", ".zarray")
"""What lies in a folder that is a store of Zarr."""


@dataclass(frozen=True)
class Shard:
    """Samples that have one file of results.

    Attributes:
        path: of the file, or of the store of Zarr; absolute, as workers need it.
        results: the file that its results go to; likewise.
        called: the path as the user gave it.
        part: the first sample of a store and the one behind the last; None for all of a file.
    """

    path: str
    results: str
    called: str
    part: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        if self.part is None:
            return self.called
        first, end = self.part
        return f"{self.called}[{first}:{end}]"


def is_store(path: Path) -> bool:
    """Whether a folder is a store of Zarr."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def suffix_of(path: Path) -> str:
    """The suffix that says what a file is; empty where none does."""
    name = path.name.lower()
    # The longest: a.tar.gz is no a.tar of .gz.
    return max((s for s in SUFFIXES if name.endswith(s)), key=len, default="")


def find_shards(
    inputs: Sequence[StrPath], folder: StrPath, format: Format, graph: ir.Graph
) -> tuple[list[Shard], int]:
    """The shards of inputs, in the order of their names, and how many files are none.

    Args:
        inputs: shards, or folders that hold some, at any depth.
        folder: where the results go.
        format: of the results.
        graph: for whose Inputs they are: it says which axis of a store counts samples.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: a folder holds none, a file is none, or two shards would share a file of
            results, or one would be replaced by it.
    """
    shards: dict[str, Shard] = {}
    others = 0
    for given in map(Path, inputs):
        if not given.exists():
            raise FileNotFoundError(f"there is no file {str(given)!r}")
        single = is_store(given) or not given.is_dir()
        found = [given] if single else sorted(_within(given))
        kinds = [path for path in found if is_store(path) or suffix_of(path)]
        others += len(found) - len(kinds)
        if not kinds:
            raise InputError(
                Problem(
                    "no samples" if given.is_dir() else f"a file {given.suffix or 'of no suffix'}",
                    f"{', '.join(SUFFIXES)}, or a store of Zarr",
                    where=str(given),
                )
            )
        for path in kinds:
            inner = Path(path.name) if single else path.relative_to(given)
            suffix = path.suffix if is_store(path) else suffix_of(path)
            target = Path(folder) / inner.with_name(inner.name[: len(inner.name) - len(suffix)])
            for shard in _parts(path, target, format, graph):
                shards[os.path.realpath(path) + str(shard.part)] = shard
    listed = list(shards.values())
    _refuse_clashes(listed)
    return listed, others


def identity(shard: Shard) -> dict[str, Any]:
    """What tells a shard from what it was, without reading it.

    Raises:
        OSError: it is not there.
    """
    path = Path(shard.path)
    if shard.part is None:
        about = path.stat()
        return {"size": about.st_size, "mtime_ns": about.st_mtime_ns}
    listing = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            about = file.stat()
            listing.update(f"{file.relative_to(path)}\0{about.st_size}\0".encode())
            listing.update(f"{about.st_mtime_ns}\n".encode())
    return {"files": listing.hexdigest(), "part": list(shard.part)}


def is_same(shard: Shard, known: dict[str, Any]) -> bool:
    """Whether a shard is what ``identity``, and a digest with it, once said of it.

    A file that was copied, and so has another time, is read.
    """
    now = identity(shard)
    if now == {name: value for name, value in known.items() if name != "sha256"}:
        return True
    if shard.part is not None or known.get("size") != now["size"]:
        return False
    return digest(shard.path) == known.get("sha256")


def _within(folder: Path) -> Iterator[Path]:
    """All files and stores below a folder, but for hidden ones."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not is_store(path):
            yield from _within(path)
        else:
            yield path


def _parts(path: Path, target: Path, format: Format, graph: ir.Graph) -> Iterator[Shard]:
    if not is_store(path):
        yield Shard(os.path.abspath(path), os.path.abspath(f"{target}.{format}"), str(path))
        return
    from .stores import parts_of  # loads Zarr, where there is a store

    parts = parts_of(path, graph)
    for number, part in enumerate(parts):
        mark = "" if len(parts) == 1 else f"-{number:05}-of-{len(parts):05}"
        results = os.path.abspath(f"{target}{mark}.{format}")
        yield Shard(os.path.abspath(path), results, str(path), part)


def _refuse_clashes(shards: Sequence[Shard]) -> None:
    counts = Counter(os.path.realpath(shard.results) for shard in shards)
    twice = [shard for shard in shards if counts[os.path.realpath(shard.results)] > 1]
    sources = {os.path.realpath(shard.path) for shard in shards}
    onto = [shard for shard in shards if os.path.realpath(shard.results) in sources]
    if twice or onto:
        shard = (twice or onto)[0]
        raise InputError(
            Problem(
                f"{shard.name} would have its results in {shard.results}, "
                + ("as others would" if twice else "which holds samples"),
                "a file of results for each shard",
                "Score them apart, each folder into a folder of its own.",
            )
        )
