"""Compiled loops that threads call by address: neither Python nor its lock is in between.

A call through Numba's own door takes longer than many a layer of a small network, and holds the
lock meanwhile, so that threads wait for each other. Here all arguments lie in a table of 64-bit
numbers, and each thread claims the next piece of work by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir as llvm
from numba import types
from numba.extending import intrinsic

from .compiled import HOW
from .threads import by_address, count_of

NEXT, SIZE, FREE = range(3)
"""The first places of a table: the next piece of work, and how many there are. ``FREE`` is the
first that is the loop's own."""


def native(function: Callable[[Any], None]) -> Any:
    """Compile a loop over pieces of work for threads to call; what it takes is a table's address.

    Kept on disk, as ``compiled`` does. It has to claim its pieces.
    """
    how = {name: value for name, value in HOW.items() if name != "nogil"}
    return numba.cfunc(types.void(types.voidptr), cache=True, **how)(function)


def _claim(context: Any, table: Any) -> Any:
    """The next piece that nobody works yet, which nobody else is given."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        word = llvm.IntType(64)
        counter = builder.bitcast(arguments[0], word.as_pointer())
        return builder.atomic_rmw("add", counter, word(1), "monotonic")

    return types.int64(table), generate


claim: Any = intrinsic(_claim)


def share_out(loop: Any, table: Any, size: int, work: int) -> None:
    """Have some of torch's threads call a loop until all pieces are worked.

    Args:
        loop: what ``native`` made.
        table: int64; its first two places are written to.
        size: how many pieces there are.
        work: elements worked in all; little work stays in the caller's thread.
    """
    table[NEXT], table[SIZE] = 0, size
    if size:
        by_address(loop.address, table.ctypes.data, count_of(size, work))
