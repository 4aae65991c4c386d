"""Generated loops on a CPU."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import Tensor

from ..threads import share
from .loop import LEAVES, Loop
from .made import kernel
from .operations import OPERATIONS, Array


def launch(loop: Loop, steps: int, size: int, arrays: Sequence[Tensor]) -> None:
    """Work all steps; ``arrays`` as ``numba_source.source`` says."""
    work(loop, steps, size, [a.detach().numpy() for a in arrays])


def work(loop: Loop, steps: int, size: int, arrays: Sequence[Array]) -> None:
    """The same with arrays of NumPy."""
    share(kernel(loop), size, _cost(loop) * steps * size, steps, *arrays, multiple=16)


@functools.lru_cache(maxsize=1024)
def _cost(loop: Loop) -> int:
    """What a step of one element costs, in elements of a plain loop."""
    rows = [OPERATIONS[e.op] for e in loop.entries if e.op not in LEAVES]
    return 1 + sum(1 if row.exact else 16 for row in rows) // 4
