"""From folders of samples to a folder of results, by many processes: ``t1c score``."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Literal, get_args

from t1c.events.frames import Polarity
from t1c.ir.atomic import make_folder
from t1c.ir.errors import InputError, Problem
from t1c.ir.optional import imported

from ..made_of import digest
from ..run_report import Stage, StrPath
from ..runner import DType, import_bridge, import_torch
from .finished import Left, left_of, strangers
from .job import Format, Job
from .on_ray import import_ray, score_on_ray
from .processes import score_here
from .report import ScoreReport
from .scorer import ShardScore, read_model
from .shards import Shard, find_shards

On = Literal["local", "ray"]
"""Who works: processes on this machine, or a Ray cluster."""

NAMED = 3
"""Results made otherwise of which a refusal gives the names."""


def score(
    model: StrPath,
    inputs: StrPath | Sequence[StrPath],
    folder: StrPath,
    *,
    on: On = "local",
    workers: int | None = None,
    format: Format = "npz",
    steps: int | None = None,
    batch_size: int = 256,
    dtype: DType = "float32",
    reproducible: bool = False,
    allow_nonfinite: bool = False,
    dt: float | None = None,
    polarity: Polarity | None = None,
    redo: bool = False,
    progress: Callable[[float, int], object] | None = None,
    stage: Stage | None = None,
) -> ScoreReport:
    """Score many shards of samples with many workers, and go on where an earlier run stopped.

    A shard is a file of samples, or a part of a store of Zarr. Its results are one file, of the
    same name in the folder, that appears whole or not at all, with a note of what it was made of:
    model, options, samples, version of t1c. Run again after whatever happened, ``score`` passes
    over what is finished, makes anew what samples have changed of, and refuses a folder that holds
    results of another model or other options. A shard that fails does not keep the others from
    being scored.

    A worker is given one shard at a time, and holds one block of it; an ``.npz`` file and a
    recording it holds whole. The numbers do not depend on who works what, nor on how many do: each
    shard is cut into batches from its beginning, and a worker has one thread. Processors of
    another kind may round sums otherwise; with ``reproducible`` they do not.

    Args:
        model: the network, a ``.t1c`` or ``.nir`` file.
        inputs: shards, or folders that hold some, at any depth: ``.npz`` files and recordings as
            of ``run_file``, ``.parquet``, ``.tar`` as WebDataset writes it, stores of Zarr.
        folder: where the results go; it is made if it is not there.
        on: 'local': processes on this machine. 'ray': a Ray cluster, whose nodes all see the
            files; the one that this process is connected to, or RAY_ADDRESS names, or a new one.
        workers: how many; None: one for each GPU, or else for each processor. One alone is this
            process.
        format: of the results, 'npz' or 'parquet'.
        steps: as of ``run_file``, as are the next ones.
        batch_size: likewise.
        dtype: likewise.
        reproducible: take every sum in its written order; on processors, not on GPUs.
        allow_nonfinite: likewise.
        dt: likewise.
        polarity: likewise.
        redo: make anew what was made by another model or with other options, in the place of
            refusing it.
        progress: called now and then with the shards done and their number.
        stage: called with what is being done now.

    Raises:
        T1CError: the model is not valid, torch or Ray is missing, there are no samples, or results
            in the folder were made otherwise.
        OSError: a file is not there, or the folder cannot be made.

    Example:
        >>> bool(score("model.t1c", "inputs/", "results/"))  # doctest: +SKIP
        True
    """
    at, tell = stage or (lambda _: None), progress or (lambda *_: None)
    _check(on, format, workers)
    at("loading PyTorch")
    import_bridge()
    if on == "ray":
        import_ray()
    if format == "parquet":
        imported("pyarrow.parquet", "results as .parquet need pyarrow, which", "score")
    at("reading")
    options = Job(
        os.path.abspath(model),
        digest(model),
        batch_size,
        format,
        steps,
        dtype,
        dt,
        polarity,
        allow_nonfinite,
        reproducible,
    )
    graph = read_model(options)
    given = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    shards, others = find_shards(given, folder, format, graph)
    at("looking for results")
    left = [left_of(shard, options) for shard in shards]
    _refuse_mixtures(folder, shards, left, options, redo)
    make_folder(folder)
    open_shards = [s for s, found in zip(shards, left, strict=True) if found.state != "finished"]
    scores = {s.name: _known(s, found) for s, found in zip(shards, left, strict=True)}
    begin, count = time.perf_counter(), _workers(on, workers, len(open_shards), reproducible)
    at("making networks ready")
    done = len(shards) - len(open_shards)
    # Closed, however it ends: workers go at once, and not when somebody collects garbage.
    with contextlib.closing(_scored(options, open_shards, on, count)) as answers:
        for found in answers:
            scores[found.shard] = _settled(found, scores[found.shard])
            done += 1
            tell(done, len(shards))
    return ScoreReport(
        os.fspath(model),
        os.fspath(folder),
        on,
        count,
        dtype,
        tuple(scores.values()),
        time.perf_counter() - begin,
        others,
    )


def _check(on: str, format: str, workers: int | None) -> None:
    for name, value, known in (("on", on, On), ("format", format, Format)):
        if value not in get_args(known):
            raise InputError(
                Problem(f"{name}={value!r}", f"one of {', '.join(get_args(known))}", field=name)
            )
    if workers is not None and workers < 1:
        raise InputError(Problem(f"workers={workers}", "at least 1", field="workers"))


def _refuse_mixtures(
    folder: StrPath, shards: Sequence[Shard], left: Sequence[Left], job: Job, redo: bool
) -> None:
    """Refuse a folder in which results of several makings would lie side by side."""
    foreign: list[tuple[str, str]] = []
    mine: list[tuple[str, str]] = []
    for shard, found in zip(shards, left, strict=True):
        if found.state == "otherwise":
            (foreign if found.note is None else mine).append((shard.results, found.why))
    beside = list(strangers(folder, shards, job))
    refused = [*foreign, *beside, *([] if redo else mine)]
    if not refused:
        return
    named = ", ".join(f"{os.path.basename(path)}: {why}" for path, why in refused[:NAMED])
    more = f", and {len(refused) - NAMED} more" if len(refused) > NAMED else ""
    remedy = "Give another folder, or pass redo=True (--redo), which makes them anew."
    if foreign or beside:
        remedy = "Give another folder: those of no shard that is scored here are not made anew."
    raise InputError(
        Problem(
            f"results that were made otherwise ({named}{more})",
            "a folder with results of one model and one choice of options",
            remedy,
            os.fspath(folder),
        )
    )


def _known(shard: Shard, left: Left) -> ShardScore:
    """What is known of a shard before anything is scored."""
    if left.state == "finished" and left.note is not None:
        counts = left.note["samples"], left.note["correct"]
        return ShardScore(shard.name, shard.results, "finished", *counts)
    redone = left.state if left.state in ("changed", "otherwise") else ""
    return ShardScore(shard.name, shard.results, "failed", error="not reached", redone=redone)


def _settled(found: ShardScore, known: ShardScore) -> ShardScore:
    """What a worker says of a shard, if its results can be seen from here."""
    if found.status == "done" and not os.path.exists(found.results):
        said = f"{found.results} was written where this machine does not see it"
        return replace(found, status="failed", error=f"{said}; give a folder that all nodes share")
    return replace(found, redone=known.redone)


def _workers(on: On, workers: int | None, shards: int, reproducible: bool) -> int | None:
    """How many work; None where Ray's resources decide."""
    if workers is None and on == "ray":
        return None
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    most = workers or _gpus(reproducible) or processors or os.cpu_count() or 1
    return max(1, min(most, shards))


def _gpus(reproducible: bool) -> int:
    return 0 if reproducible else int(import_torch().cuda.device_count())


def _scored(
    job: Job, shards: Sequence[Shard], on: On, workers: int | None
) -> Generator[ShardScore, None, None]:
    if not shards:
        return
    if on == "ray":
        yield from score_on_ray(job, shards, workers)
    else:
        gpus = _gpus(job.reproducible)
        devices = [f"cuda:{n % gpus}" if gpus else "cpu" for n in range(workers or 1)]
        yield from score_here(job, shards, devices)
