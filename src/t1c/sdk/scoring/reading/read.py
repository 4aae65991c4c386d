"""Which reader a shard has, and what goes wrong in any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from t1c import ir
from t1c.ir.errors import InputError, Problem, T1CError, UnsupportedError

from ..job import Job
from ..shards import Shard, suffix_of
from . import arrays, stores, tables, tars
from .blocks import Block

Reader = Callable[[Shard, ir.Graph, Job], Iterator[Block]]
READERS: dict[str, Reader] = {
    ".parquet": tables.read,
    ".tar": tars.read,
    ".tar.gz": tars.read,
    ".tgz": tars.read,
}
"""By suffix; other files are read as ``t1c run`` reads them."""


def read_blocks(shard: Shard, graph: ir.Graph, job: Job) -> Iterator[Block]:
    """The samples of a shard, in their order.

    Raises:
        InputError: they do not fit the graph, or the file is damaged.
        UnsupportedError: what reads it is not installed.
        OSError: it cannot be read.
    """
    if shard.part is not None:
        reader: Reader = stores.read
    else:
        reader = READERS.get(suffix_of(Path(shard.path)), arrays.read)
    try:
        yield from reader(shard, graph, job)
    except InputError as error:
        raise InputError(error.problems, shard.name) from None
    except ModuleNotFoundError as cause:
        raise UnsupportedError(
            Problem(
                f"{cause.name} cannot be imported, which reads it",
                remedy="Install it with: pip install 't1c[score]'",
                where=shard.name,
            )
        ) from cause
    except (T1CError, OSError, MemoryError):
        raise
    except Exception as cause:  # those who read files have errors of their own
        raise InputError(
            Problem(f"damaged ({type(cause).__name__}: {cause})", "samples", where=shard.name)
        ) from cause
