"""``.npz`` files of samples, and recordings: read whole, as ``t1c run`` reads them."""

from __future__ import annotations

from collections.abc import Iterator

from t1c import ir

from ...recordings import read_data
from ..job import Job
from ..shards import Shard
from .blocks import Block


def read(shard: Shard, graph: ir.Graph, job: Job) -> Iterator[Block]:
    """All samples of a file as one block.

    Raises:
        InputError: they do not fit.
    """
    yield Block(
        read_data(
            shard.path,
            graph,
            steps=job.steps,
            dt=job.dt,
            polarity=job.polarity,
            allow_nonfinite=job.allow_nonfinite,
        )
    )
