"""What is told of a run over many shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..jsonable import jsonable
from ..report import Facts, Part, Report, Table
from ..run_report import format_duration
from ..runner import DType
from .scorer import ShardScore

SHOWN = 20
"""Shards that failed, of which a report tells each."""


@dataclass(frozen=True, repr=False)
class ScoreReport(Report):
    """What became of many shards; true if none failed.

    Attributes:
        model: the ``.t1c`` or ``.nir`` file.
        folder: where the results are.
        on: who worked: 'local' or 'ray'.
        workers: how many at most; None where Ray decided.
        dtype: of the arithmetic.
        shards: one entry each, in the order of their names.
        seconds: from the first shard given to the last done, making networks ready included.
        others: files among the inputs that are no samples.
    """

    model: str
    folder: str
    on: str
    workers: int | None
    dtype: DType
    shards: tuple[ShardScore, ...]
    seconds: float
    others: int = 0

    def __bool__(self) -> bool:
        return not self.count("failed")

    def count(self, status: str) -> int:
        """How many shards have that status."""
        return sum(shard.status == status for shard in self.shards)

    @property
    def samples(self) -> int:
        """In all shards that have results."""
        return sum(shard.samples or 0 for shard in self.shards)

    @property
    def accuracy(self) -> float | None:
        """Of all samples in shards that have labels; None without any."""
        known = [s for s in self.shards if s.correct is not None and s.samples]
        samples = sum(s.samples or 0 for s in known)
        return sum(s.correct or 0 for s in known) / samples if samples else None

    @property
    def lost(self) -> int:
        """How many workers were lost at shards, and replaced."""
        return sum(shard.lost for shard in self.shards)

    def to_dict(self) -> dict[str, Any]:
        """The attributes and properties, and how many shards are done, finished and failed."""
        counts = {status: self.count(status) for status in ("done", "finished", "failed")}
        own = {"samples": self.samples, "accuracy": self.accuracy, "lost": self.lost}
        plain: dict[str, Any] = jsonable({**super().to_dict(), **own, "counts": counts})
        return plain

    def parts(self) -> list[Part]:
        """What failed, and the sum."""
        told: list[Part] = []
        failed = [shard for shard in self.shards if shard.status == "failed"]
        if failed:
            rows = tuple((s.shard, s.error) for s in failed[:SHOWN])
            total = (f"and {len(failed) - SHOWN:,} more", "") if len(failed) > SHOWN else ()
            told.append(Table(("failed", "why"), rows, total=total))
        done = f"{self.count('done'):,} done, {self.count('finished'):,} finished before"
        if failed:
            done += f", {len(failed):,} failed"
        facts = [("shards", done), ("samples", f"{self.samples:,}, in {self.dtype}")]
        if self.accuracy is not None:
            facts.append(("accuracy", f"{self.accuracy:.2%}"))
        facts.append(("time", self._time()))
        facts += [("note", note) for note in self._notes()]
        facts.append(("results", self.folder))
        return [*told, Facts(tuple(facts))]

    def _time(self) -> str:
        if self.on == "ray":
            who = "Ray"
        else:
            who = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"{format_duration(self.seconds)} on {who}"

    def _notes(self) -> list[str]:
        changed = sum(shard.redone == "changed" for shard in self.shards)
        otherwise = sum(shard.redone == "otherwise" for shard in self.shards)
        told = {
            f"made anew, of samples that have changed: {changed:,}": changed,
            f"made anew, of another model or other options before: {otherwise:,}": otherwise,
            f"workers that were lost and replaced: {self.lost:,}": self.lost,
            f"files that are no samples, left alone: {self.others:,}": self.others,
        }
        return [words for words, count in told.items() if count]
