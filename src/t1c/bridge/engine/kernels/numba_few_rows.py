"""A dense product of few rows, bound by reading its weight, which is read once: for CPUs.

The lanes of a vector are rows of the input: each element of a weight, as it lies, is multiplied by
all of them. Libraries copy a weight into another order first, which pays from many rows on.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from llvmlite import ir as llvm
from numba import types
from numba.extending import intrinsic

from .compiled import compiled
from .vectors import WORD, Memory, build

Array = npt.NDArray[Any]
OUTS = 8
"""Outputs whose sums stay in registers together."""
TILE = 2048
"""Inputs that are worked at once: rows of so many stay in the second-level cache."""
_UNROLLED = 4


def _sums(outs: int, lanes: int) -> Any:
    """A function that adds part of the products of ``outs`` outputs to what is there."""

    def typing(
        _: Any, y: Any, to: Any, x: Any, at: Any, weight: Any, start: Any, stride: Any, count: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            memory = Memory(context, builder, signature, arguments)
            _, to, _, at, _, start, stride, count = arguments

            def word(n: int) -> Any:
                return llvm.Constant(WORD, n)

            vector = llvm.VectorType(memory.element(0), lanes)
            sums = [
                build.alloca_once_value(builder, llvm.Constant(vector, None)) for _ in range(outs)
            ]
            rows = [builder.add(start, builder.mul(stride, word(p))) for p in range(outs)]

            def step(k: Any) -> None:
                column = memory.load(2, builder.add(at, builder.mul(k, word(lanes))), lanes)
                for total, row in zip(sums, rows, strict=True):
                    factor = builder.load(memory.pointer(4, builder.add(row, k)))
                    # Where a processor multiplies and adds at once, as libraries do.
                    product = builder.fmul(column, memory.spread(factor, lanes), flags=["contract"])
                    added = builder.fadd(builder.load(total), product, flags=["contract"])
                    builder.store(added, total)

            whole = builder.and_(count, word(-_UNROLLED))
            with build.for_range_slice(builder, word(0), whole, word(_UNROLLED), WORD) as (k, _):
                for more in range(_UNROLLED):
                    step(builder.add(k, word(more)))
            with build.for_range_slice(builder, whole, count, word(1), WORD) as (k, _):
                step(k)
            for p, total in enumerate(sums):
                place = builder.add(to, word(p * lanes))
                before = memory.load(0, place, lanes)
                memory.store(0, place, builder.fadd(before, builder.load(total)), lanes)
            return context.get_dummy_value()

        n = types.int64
        return types.void(y, n, x, n, weight, n, n, n), generate

    return intrinsic(typing)


_many_16, _many_8, _one_16, _one_8 = (_sums(n, lanes) for n in (OUTS, 1) for lanes in (16, 8))


@compiled
def add_products(first: int, last: int, x: Array, weight: Array, y: Array) -> None:
    """Add the products of outputs ``first`` to ``last`` to ``y``.

    Args:
        first: an output.
        last: the one after the last.
        x: (groups, in, lanes): the input, 8 or 16 rows in the lanes of each group.
        weight: (out, in).
        y: (groups, out, lanes).
    """
    groups, inputs, lanes = x.shape
    outs = y.shape[1]
    columns, w, sums = x.reshape(-1), weight.reshape(-1), y.reshape(-1)
    for k in range(0, inputs, TILE):
        count = min(TILE, inputs - k)
        a = first
        while a < last:
            n = OUTS if a + OUTS <= last else 1
            start = a * inputs + k
            for g in range(groups):
                to, at = (g * outs + a) * lanes, (g * inputs + k) * lanes
                if n == 1:
                    if lanes == 8:
                        _one_8(sums, to, columns, at, w, start, inputs, count)
                    else:
                        _one_16(sums, to, columns, at, w, start, inputs, count)
                elif lanes == 8:
                    _many_8(sums, to, columns, at, w, start, inputs, count)
                else:
                    _many_16(sums, to, columns, at, w, start, inputs, count)
            a += n
