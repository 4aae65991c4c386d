"""From a folder of samples to a folder of results: ``t1c run`` with several files.

What is finished is found again: each results file carries, as the comment of its archive, what it
was made of. A run that was broken off goes on where it stopped, and nothing that was made by
another model, from other samples or with other options passes for finished.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from t1c import __version__, nir
from t1c.events.frames import Polarity
from t1c.ir.atomic import make_folder, replacing
from t1c.ir.errors import InputError, Problem, T1CError

from .jsonable import jsonable
from .recordings import DATA_SUFFIXES, read_data
from .report import Facts, Part, Report, Table
from .run_report import Stage, StrPath, format_duration, refuse_to_replace, write_results
from .runner import DType, Runner, RunResult, import_bridge
from .samples import held_otherwise


@dataclass(frozen=True)
class FileRun:
    """One file of samples among several.

    Attributes:
        data: the file.
        results: where its results are, or would be.
        status: 'done' in this run, 'finished' in an earlier one, or 'failed'.
        samples, steps, correct, seconds: as of ``RunResult``; None where not known.
        error: why it failed.
        notes: as of ``RunReport``.
    """

    data: str
    results: str
    status: Literal["done", "finished", "failed"]
    samples: int | None = None
    steps: int | None = None
    correct: int | None = None
    seconds: float | None = None
    error: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class RunsReport(Report):
    """What became of several files of samples; true if none failed.

    Attributes:
        model: the ``.t1c`` or ``.nir`` file.
        folder: where the results are.
        dtype: of the arithmetic.
        files: one entry each, in order.
        compiling: how many seconds it took to make the network ready.
    """

    model: str
    folder: str
    dtype: DType
    files: tuple[FileRun, ...]
    compiling: float

    def __bool__(self) -> bool:
        return not self.count("failed")

    def count(self, status: str) -> int:
        """How many files have that status."""
        return sum(file.status == status for file in self.files)

    @property
    def accuracy(self) -> float | None:
        """Of all samples in all files that have labels; None without any."""
        known = [f for f in self.files if f.correct is not None and f.samples]
        samples = sum(f.samples or 0 for f in known)
        return sum(f.correct or 0 for f in known) / samples if samples else None

    def to_dict(self) -> dict[str, Any]:
        """The attributes, ``accuracy``, and how many files are done, finished and failed."""
        counts = {status: self.count(status) for status in ("done", "finished", "failed")}
        plain: dict[str, Any] = jsonable(
            {**super().to_dict(), "accuracy": self.accuracy, "counts": counts}
        )
        return plain

    def parts(self) -> list[Part]:
        """A row for each file, what failed, and the sum."""
        rows = tuple(_row(file) for file in self.files)
        numbers = ("samples", "steps", "right", "time")
        told: list[Part] = [
            Table(("data", "results", "status", *numbers), rows, right=numbers),
        ]
        failed = [
            file.error if file.error.startswith(file.data) else f"{file.data}: {file.error}"
            for file in self.files
            if file.error
        ]
        if failed:
            told.append("\n".join(failed))
        facts = [
            ("files", f"{self.count('done'):,} done, {self.count('finished'):,} finished before"),
            ("results", self.folder),
        ]
        if self.compiling:
            facts.append(("compiling", format_duration(self.compiling)))
        if failed:
            facts[0] = ("files", f"{facts[0][1]}, {len(failed):,} failed")
        if self.accuracy is not None:
            facts.insert(1, ("accuracy", f"{self.accuracy:.2%}"))
        notes = dict.fromkeys(note for file in self.files for note in file.notes)
        facts += (("note", note) for note in notes)
        return [*told, Facts(tuple(facts))]


def _row(file: FileRun) -> tuple[str, ...]:
    counts = (file.samples, file.steps, file.correct)
    return (
        file.data,
        file.results,
        file.status,
        *("" if count is None else f"{count:,}" for count in counts),
        "" if file.seconds is None else format_duration(file.seconds),
    )


def run_files(
    model: StrPath,
    data: Sequence[StrPath],
    folder: StrPath,
    *,
    steps: int | None = None,
    batch_size: int = 256,
    dtype: DType = "float32",
    keep_steps: bool = False,
    allow_nonfinite: bool = False,
    dt: float | None = None,
    polarity: Polarity | None = None,
    again: bool = False,
    progress: Callable[[float, int], object] | None = None,
    stage: Stage | None = None,
) -> RunsReport:
    """Run a network on several files of samples; the results get the same names in a folder.

    The network is made ready once. Each results file appears whole or not at all, and is passed
    over by a later call that would make the same: same model, samples, options and version of
    t1c. A file that fails does not keep the others from running.

    Args:
        model: the network, a ``.t1c`` or ``.nir`` file.
        data: ``.npz`` files and recordings, folders that hold some, or patterns such as
            ``data/*.npz``.
        folder: where the results go; it is made if it is not there.
        steps: as of ``run_file``, as are the options below.
        batch_size: likewise.
        dtype: likewise.
        keep_steps: likewise.
        allow_nonfinite: likewise.
        dt: likewise.
        polarity: likewise.
        again: run what is finished too.
        progress: called now and then with the files done (may have a fraction) and their number.
        stage: called with what is being done now.

    Raises:
        T1CError: the model is not valid, torch is missing, no data is found, or two files would
            get the same results file.
        OSError: a file is not there, or results cannot be written.

    Example:
        >>> bool(run_files("model.t1c", ["data/"], "results/"))  # doctest: +SKIP
        True
    """
    at, tell = stage or (lambda _: None), progress or (lambda *_: None)
    files = find_data(data)
    targets = _targets(files, Path(folder))
    sources = set(map(os.path.realpath, (model, *files)))
    for target in targets:
        if os.path.realpath(target) in sources:
            refuse_to_replace(target, model, *files)
    at("loading PyTorch")
    import_bridge()
    at("reading")
    graph = nir.read_graph(model, dt, allow_nonfinite=allow_nonfinite)
    made_of = {
        "t1c": __version__,
        "model": _digest(model),
        "dt": dt,
        "steps": steps,
        "dtype": dtype,
        "keep_steps": keep_steps,
        "polarity": polarity,
    }
    make_folder(folder)
    runner = Runner(graph, batch_size=batch_size, dtype=dtype, keep_steps=keep_steps)
    entries, compiling = [], 0.0
    at("compiling, or loading what was compiled before")
    for number, (path, target) in enumerate(zip(files, targets, strict=True)):
        record = made_of | {"data": _digest(path)}
        known = None if again else _finished(target, record)
        tell(number, len(files))
        if known is not None:
            entries.append(FileRun(str(path), str(target), "finished", *known))
            continue
        try:
            samples = read_data(
                path,
                graph,
                steps=steps,
                dt=dt,
                polarity=polarity,
                allow_nonfinite=allow_nonfinite,
            )
            share = _share(tell, number, samples.count, len(files))
            result = runner.run(samples, share)
        except (T1CError, OSError, MemoryError) as error:
            said = str(error) or "out of memory"
            entries.append(FileRun(str(path), str(target), "failed", error=said))
            continue
        compiling += result.compiling
        _write(target, result, record)
        counts = (result.samples, result.steps, result.correct)
        notes = held_otherwise(graph, samples)
        entries.append(
            FileRun(str(path), str(target), "done", *counts, result.seconds, notes=notes)
        )
    tell(len(files), len(files))
    return RunsReport(os.fspath(model), os.fspath(folder), dtype, tuple(entries), compiling)


def find_data(given: Sequence[StrPath]) -> list[Path]:
    """The files that are meant, each once.

    Args:
        given: files, folders (all ``.npz`` files and recordings in them, in the order of their
            names), or patterns.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: a folder holds none, a pattern matches none, or nothing is given.
    """
    found: dict[str, Path] = {}
    for entry in given:
        path = Path(entry)
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.suffix.lower() in DATA_SUFFIXES)
            empty = Problem("no .npz file in this folder", "samples", where=str(path))
        elif not path.exists() and glob.has_magic(os.fspath(entry)):
            matches = sorted(map(Path, glob.glob(os.fspath(entry), recursive=True)))
            empty = Problem("no file matches", "samples", where=str(path))
        elif path.exists():
            matches = [path]
        else:
            raise FileNotFoundError(f"there is no file {os.fspath(entry)!r}")
        if not matches:
            raise InputError(empty)
        found |= {os.path.realpath(match): match for match in matches}
    if not found:
        raise InputError(Problem("no file of samples", "one or more"))
    return list(found.values())


def _targets(files: Sequence[Path], folder: Path) -> list[Path]:
    """A results file for each: its name, and where names clash the folders that tell them apart."""
    targets = [folder / f"{file.stem}.npz" for file in files]
    if len(set(targets)) < len(targets):
        whole = [Path(os.path.abspath(file)) for file in files]
        shared = os.path.commonpath([file.parent for file in whole])
        targets = [folder / file.relative_to(shared).with_suffix(".npz") for file in whole]
    twice = [str(target) for target, count in Counter(targets).items() if count > 1]
    if twice:
        raise InputError(
            Problem(
                f"several files of samples would have their results in {', '.join(twice)}",
                "a name for each",
                "Run them apart, each with a folder of its own.",
            )
        )
    return targets


def _share(
    tell: Callable[[float, int], object], number: int, samples: int, files: int
) -> Callable[[float], object]:
    """Progress in samples of one file as progress in files."""
    return lambda done: tell(number + done / samples, files)


def _digest(path: StrPath) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(target: Path, result: RunResult, record: dict[str, Any]) -> None:
    make_folder(target.parent)
    with replacing(target) as temporary:
        write_results(temporary, result)
        with zipfile.ZipFile(temporary, "a") as archive:
            counts = {"samples": result.samples, "steps": result.steps, "correct": result.correct}
            archive.comment = json.dumps({"made of": record, **counts}).encode()


def _finished(
    target: Path, record: dict[str, Any]
) -> tuple[int | None, int | None, int | None] | None:
    """Samples, steps and correct, as an earlier run noted them, if it made it of the very same."""
    try:
        with zipfile.ZipFile(target) as archive:
            noted = json.loads(archive.comment)
        if noted["made of"] != record:
            return None
        return noted["samples"], noted["steps"], noted["correct"]
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError):
        return None  # no results of ours, or none at all: they are made anew
