"""A pool of scorers on a Ray cluster: Ray Data's pool of actors, each with a network of its own.

What travels are names of shards, one to a task; actors read and write files that all nodes see.
Ray starts actors that died again, on another node where one is gone. Shards that were lost with
them are given to others in a further round; results that are there by then are not made twice.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.optional import imported

from .job import Job
from .scorer import Scorer, ShardScore
from .shards import Shard

TRIES = 3
"""Rounds, and so workers that a shard may cost before it has failed."""


class Actor:
    """A scorer in a process of Ray's.

    Args:
        job: the model and the options.
        gpu: whether it has a GPU.
    """

    def __init__(self, job: Job, gpu: bool) -> None:
        # Ray shows each actor its own GPU alone.
        self._scorer = Scorer(job, "cuda" if gpu else "cpu")

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[str]]:
        """Score shards; what became of each, as JSON."""
        shards = (Shard(**_tupled(json.loads(text))) for text in rows["shard"].tolist())
        return {"score": [json.dumps(asdict(self._scorer.score(shard))) for shard in shards]}


def score_on_ray(job: Job, shards: Sequence[Shard], workers: int | None) -> Iterator[ShardScore]:
    """What became of each shard, as they are done.

    Args:
        job: the model and the options.
        shards: what is to be scored.
        workers: how many actors at most; None: as many as there are GPUs in the cluster, or else
            processors.

    Raises:
        UnsupportedError: Ray is not installed, or no actor can be made ready.
    """
    ray = import_ray()
    with _connected(ray):
        missing = {shard.name: shard for shard in shards}
        for lost in range(TRIES):
            for found in _round(ray, job, list(missing.values()), workers) if missing else ():
                missing.pop(found.shard, None)
                yield replace(found, lost=lost)
    for shard in missing.values():
        said = f"{TRIES} workers were lost at it"
        yield ShardScore(shard.name, shard.results, "failed", error=said, lost=TRIES)


def _round(
    ray: Any, job: Job, shards: Sequence[Shard], workers: int | None
) -> Iterator[ShardScore]:
    """What became of shards, as they are done, but for those whose worker was lost."""
    from ray.data import ActorPoolStrategy, DataContext

    resources = ray.cluster_resources()
    gpus = 0 if job.reproducible else int(resources.get("GPU", 0))
    most = min(workers or gpus or max(1, int(resources.get("CPU", 1))), len(shards))
    # One task at a time, so that no shard is lost with another.
    pool = ActorPoolStrategy(
        min_size=1, max_size=most, initial_size=most, max_tasks_in_flight_per_actor=1
    )
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A shard that costs its worker its life must not cost the run.
    context.max_errored_blocks = -1
    with DataContext.current(context):
        rows = [{"shard": json.dumps(asdict(shard))} for shard in shards]
        data = ray.data.from_items(rows, override_num_blocks=len(rows))
        scored = data.map_batches(
            Actor,
            fn_constructor_args=(job, gpus > 0),
            batch_size=1,
            compute=pool,
            num_cpus=1,
            num_gpus=1 if gpus else 0,
            # Ray starts actors that died anew; their tasks are given anew in the next round. Its
            # own retries are used up while an actor is starting, or never end.
            max_restarts=-1,
            max_task_retries=0,
        )
        try:
            for row in scored.iter_rows():
                yield ShardScore(**json.loads(row["score"]))
        except ray.exceptions.RayError as cause:
            raise UnsupportedError(
                Problem(
                    f"no worker on Ray can be made ready: {cause}",
                    "a cluster whose nodes have this t1c, and see the model's file",
                )
            ) from cause


def import_ray() -> Any:
    """The ray package with its part for data, imported now.

    Raises:
        UnsupportedError: it cannot be imported; the message says how to get it.
    """
    imported("ray.data", "scoring on Ray needs Ray Data, which", "ray")
    import ray

    return ray


@contextlib.contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """A cluster: the one that this process is in, or that RAY_ADDRESS names, or one made here."""
    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False)
    # What is lost, and how long it took, is told by the report.
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        if ours:
            ray.shutdown()


def _tupled(fields: dict[str, Any]) -> dict[str, Any]:
    part = fields["part"]
    return {**fields, "part": None if part is None else tuple(part)}
