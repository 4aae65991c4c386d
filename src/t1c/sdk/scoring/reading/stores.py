"""Stores of Zarr: some samples of a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from t1c import ir
from t1c.ir.errors import InputError, Problem

from ...samples import Samples
from ..job import Job
from ..shards import Shard
from ..stores import slices
from .blocks import Block, sampled


def read(shard: Shard, graph: ir.Graph, job: Job) -> Iterator[Block]:
    """The samples of a part in blocks, of a chunk or a batch at least.

    Raises:
        InputError: they do not fit.
    """
    assert shard.part is not None
    found = slices(Path(shard.path), graph, shard.part, job.batch_size)
    for inputs, labels, steps in found:
        samples = sampled(inputs, graph, job, steps)
        if labels is not None and labels.dtype.kind not in "iu":
            raise InputError(Problem(f"labels of {labels.dtype}", "integers (N,)"))
        yield Block(Samples(samples.inputs, labels))
