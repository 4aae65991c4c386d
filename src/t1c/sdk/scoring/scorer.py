"""A network at work on one shard after another."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from t1c import ir, nir
from t1c.ir.atomic import make_folder, replacing
from t1c.ir.errors import InputError, Problem, T1CError

from ..made_of import MADE_OF, digest
from ..runner import Runner, import_torch
from .finished import finished
from .job import Job
from .reading import Block, read_blocks
from .shards import Shard, identity
from .writing import writer_of

Status = Literal["done", "finished", "failed"]


@dataclass(frozen=True)
class ShardScore:
    """What became of one shard.

    Attributes:
        shard: its name.
        results: the file that its results are in, or would be.
        status: 'done' in this run, 'finished' in an earlier one, or 'failed'.
        samples: how many it has; None where not known.
        correct: how many predictions equal their labels; None where it has none.
        seconds: of reading, running and writing; None where nothing was run.
        error: why it failed.
        redone: why results that were there were made anew: 'changed' samples, or made 'otherwise'.
        lost: how many workers were lost at it.
    """

    shard: str
    results: str
    status: Status
    samples: int | None = None
    correct: int | None = None
    seconds: float | None = None
    error: str = ""
    redone: str = ""
    lost: int = 0


def read_model(job: Job) -> ir.Graph:
    """The network of a job.

    Raises:
        InputError: the file is another than when the job began.
        T1CError: it is not valid.
    """
    graph = nir.read_graph(job.model, job.dt, allow_nonfinite=job.allow_nonfinite)
    if digest(job.model) != job.digest:
        raise InputError(
            Problem("another file than when scoring began", "the same", where=job.model)
        )
    return graph


class Scorer:
    """A network made ready once; it scores any number of shards.

    Args:
        job: the model and the options.
        device: where to work, such as 'cuda:0'.

    Raises:
        T1CError: the network cannot be run.
    """

    def __init__(self, job: Job, device: str = "cpu") -> None:
        self.job = job
        self._graph = read_model(job)
        self._runner = Runner(
            self._graph,
            batch_size=job.batch_size,
            dtype=job.dtype,
            reproducible=job.reproducible,
            device=device,
        )

    def score(self, shard: Shard) -> ShardScore:
        """Score a shard, unless its results are there; what goes wrong is told in the answer."""
        begin = time.perf_counter()
        try:
            with _alike():
                note = finished(shard, self.job) or self._score(shard)
        except (T1CError, OSError, MemoryError) as error:
            said = str(error) or "out of memory"
        except Exception as bug:  # one shard's, and not that of all others
            said = f"{type(bug).__name__}: {bug}"
        else:
            seconds = time.perf_counter() - begin
            counts = note["samples"], note["correct"]
            return ShardScore(shard.name, shard.results, "done", *counts, seconds)
        said = said.removeprefix(f"{shard.name}: ")
        return ShardScore(shard.name, shard.results, "failed", error=said)

    def _score(self, shard: Shard) -> dict[str, Any]:
        """Write the results of a shard, whole or not at all; the note that they carry."""
        target = Path(shard.results)
        make_folder(target.parent)
        known = identity(shard)
        data = known if shard.part is not None else {**known, "sha256": digest(shard.path)}
        count, correct = 0, 0
        labelled = True
        with replacing(target) as temporary, writer_of(self.job.format, temporary) as writer:
            for block in read_blocks(shard, self._graph, self.job):
                result = self._runner.run(block.samples)
                writer.add(_arrays(result.arrays(), block), count + (shard.part or (0,))[0])
                count += result.samples
                labelled &= result.correct is not None
                correct += result.correct or 0
            if not count:
                raise InputError(Problem("no samples", "at least one", where=shard.name))
            if identity(shard) != known:
                raise InputError(
                    Problem("written to while it was read", "a shard at rest", where=shard.name)
                )
            made_of = {**self.job.made_of(), "data": data}
            note = {"samples": count, "correct": correct if labelled else None}
            writer.finish({MADE_OF: made_of, **note})
        return note


@contextlib.contextmanager
def _alike() -> Iterator[None]:
    """Have all workers add up in the same order: in one thread, and by no clock of their own."""
    from t1c.bridge.engine.kernels.crossing import unmeasured

    torch = import_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with unmeasured():
            yield
    finally:
        torch.set_num_threads(before)


def _arrays(arrays: dict[str, Any], block: Block) -> dict[str, Any]:
    return arrays if block.keys is None else {"key": np.array(block.keys), **arrays}
