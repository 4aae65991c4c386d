"""What earlier runs left in the folder of results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..made_of import MADE_OF, noted
from ..run_report import StrPath
from .job import Job
from .shards import Shard, is_same

State = Literal["missing", "finished", "changed", "otherwise"]


@dataclass(frozen=True)
class Left:
    """What there is of one shard.

    Attributes:
        state: 'finished'; 'missing'; 'changed' if the samples are others by now; or 'otherwise' if
            another model, other options, or somebody else made the file.
        note: what the file says of itself; None if it says nothing.
        why: in words, where it was made otherwise.
    """

    state: State
    note: dict[str, Any] | None = None
    why: str = ""


def left_of(shard: Shard, job: Job) -> Left:
    """What earlier runs left of a shard."""
    if not Path(shard.results).exists():
        return Left("missing")
    note = noted(shard.results)
    why = made_otherwise(note, job)
    if note is None or why:
        return Left("otherwise", note, why)
    return Left("finished" if is_same(shard, note[MADE_OF]["data"]) else "changed", note)


def finished(shard: Shard, job: Job) -> dict[str, Any] | None:
    """The note of the results of a shard, if this very job made them of these very samples."""
    left = left_of(shard, job)
    return left.note if left.state == "finished" else None


def made_otherwise(note: dict[str, Any] | None, job: Job) -> str:
    """In what results differ from those of a job, in words; empty if in nothing."""
    if note is None:
        return "no results of t1c score"
    made_of, own = note[MADE_OF], job.made_of()
    if not isinstance(made_of.get("data"), dict):
        return "results of t1c run"
    return ", ".join(
        "another model" if name == "digest" else f"{name}={made_of.get(name)!r}"
        for name in own
        if made_of.get(name) != own[name]
    )


def strangers(folder: StrPath, shards: Sequence[Shard], job: Job) -> Iterator[tuple[str, str]]:
    """Results in a folder that are of no shard here and were made otherwise, and in what.

    Results of other shards by the same job may lie beside these.
    """
    own = {Path(shard.results).absolute() for shard in shards}
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in (".npz", ".parquet") and path.absolute() not in own:
            note = noted(path)
            if note is not None and (why := made_otherwise(note, job)):
                yield str(path), why
