"""Many files at once, from one format to the other, with changes on the way."""

from __future__ import annotations

import dataclasses
import glob
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from t1c import ir, nir
from t1c.ir.atomic import make_folder
from t1c.ir.errors import InputError, Problem
from t1c.nir.repairs import checked

from ..report import Part, Report, Table

StrPath = str | os.PathLike[str]
Transform = Callable[[ir.Graph], ir.Graph]
SUFFIXES = (".t1c", ".nir")


@dataclasses.dataclass(frozen=True)
class BatchEntry:
    """What became of one file.

    Attributes:
        source: the file.
        target: where to.
        status: 'written', 'skipped' (it was there already) or 'failed'.
        error: why it failed; '' if it did not.
        losses: what readers of the target other than t1c will not see.
        warnings: what was warned of on the way.
        seconds: how long it took.
    """

    source: str
    target: str
    status: Literal["written", "skipped", "failed"]
    error: str = ""
    losses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, repr=False)
class BatchReport(Report):
    """What became of many files; true if none failed."""

    entries: tuple[BatchEntry, ...]

    def of(self, status: str) -> tuple[BatchEntry, ...]:
        """The files of one status."""
        return tuple(entry for entry in self.entries if entry.status == status)

    def __bool__(self) -> bool:
        return not self.of("failed")

    def to_dict(self) -> dict[str, Any]:
        """How many files were written, skipped and failed, and the entries."""
        counts = {status: len(self.of(status)) for status in ("written", "skipped", "failed")}
        return {**counts, **super().to_dict()}

    def parts(self) -> Sequence[Part]:
        """The counts, and a row for each file."""
        told = ", ".join(f"{len(self.of(s))} {s}" for s in ("written", "skipped", "failed"))
        rows = tuple((e.source, e.status, e.target, _remark(e)) for e in self.entries)
        return [told, Table(("file", "status", "target", "remark"), rows)]


def _remark(entry: BatchEntry) -> str:
    remarks = [*entry.error.splitlines()[:1]]
    if entry.losses:
        remarks.append(f"{len(entry.losses)} losses")
    return "; ".join([*remarks, *entry.warnings])


def batch_convert(
    sources: StrPath | Iterable[StrPath],
    target: StrPath,
    *,
    to: Literal[".t1c", ".nir"] | None = None,
    transforms: Iterable[Transform] = (),
    dt: float | None = None,
    dialect: str | None = None,
    repair: Iterable[str] = (),
    lossy: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> BatchReport:
    """Read many files, change each graph, and write it to a folder; an error stops no other file.

    A file that is there already is left as it is, so that a run that was cut off can be repeated.
    Every file appears whole or not at all.

    Args:
        sources: a folder, in which all ``.t1c`` and ``.nir`` files are taken, those of folders
            within it too; a pattern such as ``models/**/*.nir``; a file; or several of these.
        target: the folder to write to; it is made. Files keep their names, and their places below
            the folder, or the beginning of the pattern, that they were found in.
        to: the suffix of what is written; None: the same as that of the source.
        transforms: functions from a graph to a graph, such as ``sdk.fold_batchnorm``, in order.
        dt: seconds in one step, where one of the files is NIR and does not know it.
        dialect: as of ``t1c.nir.read`` for sources that are NIR, and of ``t1c.nir.write`` for
            others that become NIR.
        repair: as of ``t1c.nir.read``, for sources that are NIR; one that does not need all of
            these repairs fails.
        lossy: keep what NIR cannot say in its metadata, as of ``t1c.nir.write``.
        overwrite: write files anew that are there already.
        progress: called with how many files are done, and how many there are.

    Returns:
        What became of each file; true if none failed.

    Raises:
        InputError: there are no such files, or ``to`` is no suffix.

    Example:
        >>> report = batch_convert("models/*.nir", "converted", to=".t1c", dt=1e-4)
        ... # doctest: +SKIP
    """
    if to not in (None, *SUFFIXES):
        raise InputError(Problem(f"to={to!r}", " or ".join(map(repr, SUFFIXES))))
    found = _found(sources)
    repairs = checked(repair)
    chain = tuple(transforms)
    entries: list[BatchEntry] = []
    taken: dict[Path, str] = {}
    for source, place in found.items():
        goal = Path(target) / (place if to is None else place.with_suffix(to))
        begin = time.perf_counter()
        entry = BatchEntry(str(source), str(goal), "failed")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                _check_goal(source, goal, taken)
                if goal.exists() and not overwrite:
                    entry = dataclasses.replace(entry, status="skipped")
                else:
                    losses = _convert(source, goal, chain, dt, dialect, repairs, lossy)
                    entry = dataclasses.replace(entry, status="written", losses=losses)
            except Exception as error:  # a file and a transform may fail in any way
                kind = "" if isinstance(error, ir.T1CError) else f"{type(error).__name__}: "
                entry = dataclasses.replace(entry, error=f"{kind}{error}")
        told = tuple(dict.fromkeys(str(warning.message) for warning in caught))
        seconds = time.perf_counter() - begin
        entries.append(dataclasses.replace(entry, warnings=told, seconds=seconds))
        if progress is not None:
            progress(len(entries), len(found))
    return BatchReport(tuple(entries))


def _found(sources: StrPath | Iterable[StrPath]) -> dict[Path, Path]:
    """Every file, and its place below the folder or pattern that it was found by."""
    given = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    found: dict[Path, Path] = {}
    for entry in given:
        pairs = dict(_expanded(os.fspath(entry)))
        if not pairs:
            raise InputError(
                Problem(
                    f"no files in {os.fspath(entry)!r}",
                    "a file, a folder or a pattern that leads to .t1c or .nir files",
                )
            )
        found |= pairs
    if not found:
        raise InputError(Problem("no sources", "at least one file"))
    return found


def _expanded(entry: str) -> Iterator[tuple[Path, Path]]:
    path = Path(entry)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix in SUFFIXES and file.is_file():
                yield file, file.relative_to(path)
    elif path.exists() or not glob.has_magic(entry):
        # What is not there fails by itself, with the others going on.
        yield path, Path(path.name)
    else:
        plain = list(_plain_parts(path))
        for name in sorted(glob.glob(entry, recursive=True)):
            file = Path(name)
            if file.suffix in SUFFIXES and file.is_file():
                yield file, Path(*file.parts[len(plain) :])


def _plain_parts(path: Path) -> Iterator[str]:
    """The folders of a pattern before its first wildcard."""
    for part in path.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _check_goal(source: Path, goal: Path, taken: dict[Path, str]) -> None:
    if source.suffix not in SUFFIXES:
        raise InputError(Problem(f"the suffix {source.suffix!r}", " or ".join(SUFFIXES)))
    if goal.resolve() == source.resolve():
        raise InputError(
            Problem("the target is the source itself", "another folder", "Choose another target.")
        )
    other = taken.setdefault(goal.resolve(), str(source))
    if other != str(source):
        raise InputError(
            Problem(
                f"{str(goal)!r} is where {other!r} goes",
                "a target for each file",
                "Convert them into different folders.",
            )
        )


def _convert(
    source: Path,
    goal: Path,
    chain: Sequence[Transform],
    dt: float | None,
    dialect: str | None,
    repair: Sequence[str],
    lossy: bool,
) -> tuple[str, ...]:
    """Read, change, write; what NIR cannot say."""
    came = source.suffix == ".nir"
    graph = nir.read(source, dt=dt, dialect=dialect, repair=repair) if came else ir.read(source)
    for transform in chain:
        graph = transform(graph)
    make_folder(goal.parent)
    if goal.suffix == ".t1c":
        ir.write(goal, graph)
        return ()
    # What came from NIR knows its dt; a dt to read it by is not one to change it to.
    losses = nir.write(
        goal, graph, None if came else dt, lossy=lossy, dialect=None if came else dialect
    )
    return tuple(map(str, losses.losses))
