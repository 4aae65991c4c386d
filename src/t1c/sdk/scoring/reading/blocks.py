"""Blocks of samples: what a network is run on at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.ir.shapes import Shape

from ...samples import LABEL_NAMES, Samples, as_samples, found_under, names_of
from ..job import Job

KEYS = ("key", "__key__")
"""What names a sample."""


@dataclass(frozen=True)
class Block:
    """Some samples of a shard, in their order.

    Attributes:
        samples: their numbers and labels.
        keys: what each is called; None where nothing says it.
    """

    samples: Samples
    keys: list[str] | None = None


@dataclass(frozen=True)
class Row:
    """One sample.

    Attributes:
        inputs: Input name -> (*shape), or (T, *shape).
        label: the right class; None if unknown.
        key: what it is called; None if nothing says it.
        steps: for how many steps to show what stands still; None where the sample does not say.
    """

    inputs: dict[str, Array]
    label: int | None = None
    key: str | None = None
    steps: int | None = None


def row_of(fields: Mapping[str, Any], graph: ir.Graph, where: str) -> Row:
    """One sample from its fields by name.

    Args:
        fields: numbers of each Input, and what else there is.
        graph: whose Inputs they are for. Numbers in one line are laid out as the Input wants them.
        where: what messages call the sample.

    Raises:
        InputError: an Input has none.
    """
    inputs = {}
    for name, known in found_under(graph, fields).items():
        if known is None:
            wanted, found = names_of(graph)[name][0], ", ".join(map(repr, fields)) or "nothing"
            raise InputError(Problem(f"no {wanted!r} among {found}", wanted, where=where))
        shape = tuple(graph.inputs()[name].shape)
        inputs[name] = laid_out(np.asarray(fields[known]), shape)
    label = next((fields[n] for n in LABEL_NAMES if n in fields), None)
    key = next((fields[n] for n in KEYS if n in fields), None)
    steps = fields.get("steps")
    return Row(
        inputs,
        None if label is None else _whole(label, "label", where),
        None if key is None else str(key),
        None if steps is None else _whole(steps, "steps", where),
    )


def laid_out(array: Array, shape: Shape) -> Array:
    """Numbers in one line as (*shape), or as (T, *shape); others as they are."""
    size = int(np.prod(shape))
    if array.ndim > 1 or array.shape == shape or not size or array.size % size:
        return array
    return array.reshape(shape if array.size == size else (array.size // size, *shape))


def blocks_of(rows: Iterable[Row], graph: ir.Graph, job: Job, where: str) -> Iterator[Block]:
    """Blocks of neighbours that have as many steps, ``job.batch_size`` of them at most.

    Raises:
        InputError: a sample does not fit.
    """
    waiting: list[Row] = []
    for row in rows:
        if waiting and (len(waiting) == job.batch_size or _kind(row) != _kind(waiting[0])):
            yield _block(waiting, graph, job, where)
            waiting = []
        waiting.append(row)
    if waiting:
        yield _block(waiting, graph, job, where)


def _kind(row: Row) -> tuple[Any, ...]:
    shapes = tuple(array.shape for array in row.inputs.values())
    return (*shapes, row.label is None, row.key is None, row.steps)


def _block(rows: Sequence[Row], graph: ir.Graph, job: Job, where: str) -> Block:
    inputs = {}
    for name, node in graph.inputs().items():
        arrays = [row.inputs[name] for row in rows]
        moving = arrays[0].ndim == len(node.shape) + 1
        inputs[name] = np.stack(arrays, axis=1 if moving else 0)
    first = rows[0]
    try:
        samples = sampled(inputs, graph, job, first.steps)
    except InputError as error:
        raise InputError(error.problems, where) from None
    labels = None if first.label is None else np.array([row.label for row in rows])
    keys = None if first.key is None else [str(row.key) for row in rows]
    return Block(Samples(samples.inputs, labels), keys)


def sampled(inputs: dict[str, Array], graph: ir.Graph, job: Job, stated: int | None) -> Samples:
    """What a graph is run on, at every step.

    Args:
        inputs: Input name -> (N, *shape), or (T, N, *shape).
        graph: the graph.
        job: whose ``steps`` counts first.
        stated: how many the shard says, for what all stands still.

    Raises:
        InputError: they do not fit.
    """
    moving = any(a.ndim == len(graph.inputs()[n].shape) + 2 for n, a in inputs.items())
    steps = job.steps if moving or job.steps is not None else stated
    return as_samples(inputs, graph, steps=steps, allow_nonfinite=job.allow_nonfinite)


def _whole(value: Any, what: str, where: str) -> int:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iu":
        raise InputError(Problem(f"{what} {value!r}", "one integer", where=where))
    return int(array.item())
