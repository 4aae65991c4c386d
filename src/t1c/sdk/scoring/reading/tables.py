"""``.parquet`` files: one row is one sample.

A column ``x``, or ``x/<name>`` for each of several Inputs, holds numbers: nested lists, lists of
fixed size or tensors of fixed shape, of one sample's shape, with time first where it is a sequence;
or all of them in one line. ``y`` or ``labels`` is the right class, ``key`` a name. Other columns
are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

from ...samples import LABEL_NAMES, names_of
from ..job import Job
from ..shards import Shard
from .blocks import KEYS, Block, blocks_of, row_of

if TYPE_CHECKING:
    import pyarrow as pa


def read(shard: Shard, graph: ir.Graph, job: Job) -> Iterator[Block]:
    """The rows of a file in blocks; one row group is held at a time, which Arrow unpacks whole.

    Raises:
        InputError: they do not fit.
    """
    from pyarrow import parquet

    with parquet.ParquetFile(shard.path) as file:
        wanted = {*KEYS, *LABEL_NAMES, *(n for names in names_of(graph).values() for n in names)}
        columns = [name for name in file.schema_arrow.names if name in wanted]

        def rows() -> Iterator[Any]:
            first = 0
            # One after another: asked for all at once, Arrow holds what it has unpacked to the end.
            groups = range(file.num_row_groups)
            each = (file.iter_batches(job.batch_size, [g], columns) for g in groups)
            for batch in chain.from_iterable(each):
                arrays = [numbers(column) for column in batch.columns]
                for number in range(len(batch)):
                    fields = {n: a[number] for n, a in zip(columns, arrays, strict=True)}
                    yield row_of(fields, graph, f"row {first + number}")
                first += len(batch)

        yield from blocks_of(rows(), graph, job, shard.path)


def numbers(column: pa.Array) -> Array | list[Any]:
    """A column as one array (rows, ...), or as a list of arrays where rows differ in size.

    Raises:
        InputError: some of it is missing.
    """
    import pyarrow as pa

    if column.null_count:
        raise InputError(Problem(f"{column.null_count} rows of null", "a value in every row"))
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        tensor: Array = column.to_numpy_ndarray()
        return tensor
    if isinstance(kind, pa.BaseExtensionType):
        return numbers(column.storage)
    if pa.types.is_fixed_size_list(kind):
        return _nested(column, kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        sizes = column.value_lengths().to_numpy(zero_copy_only=False)
        if len(set(sizes.tolist())) == 1:
            return _nested(column, int(sizes[0]))
        return [numbers(column.slice(row, 1))[0] for row in range(len(column))]
    plain: Array = column.to_numpy(zero_copy_only=False)
    return plain


def _nested(column: Any, size: int) -> Array | list[Any]:
    """Lists of one size."""
    inner = numbers(column.flatten())
    if isinstance(inner, np.ndarray):
        return inner.reshape(len(column), size, *inner.shape[1:])
    return [np.stack(inner[row * size : (row + 1) * size]) for row in range(len(column))]
