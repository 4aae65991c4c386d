"""Weighted sums over what fires from a weight (out, in) as it is, for CPUs: nothing is kept of it.

For few samples this takes less than to tell whether a copy still serves. The columns of active
inputs lie scattered over all of a weight, so all of it is read anyway: whether it is finite is told
from what is then in the cache, and the sums are those of ``weighted_sums``, in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir as llvm
from numba import types
from numba.extending import intrinsic

from .compiled import compiled, inlined
from .vector_sums import active
from .vectors import LANES, WORD, Memory, build

Array = npt.NDArray[Any]
SIDE_BY_SIDE = 8
"""Outputs that are worked side by side."""
TURN = 64
"""Elements that are looked at in one turn of a loop."""


def _summing(graded: bool) -> Any:
    """A function that adds up columns of some rows of a matrix, each row's in a register."""

    def typing(
        _: Any,
        y: Any,
        to: Any,
        base: Any,
        of: Any,
        weight: Any,
        start: Any,
        stride: Any,
        index: Any,
        first: Any,
        last: Any,
        factors: Any,
        begin: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            memory = Memory(context, builder, signature, arguments)
            _, to, _, of, _, start, stride, _, first, last, _, begin = arguments
            numbers = [llvm.Constant(WORD, r) for r in range(SIDE_BY_SIDE)]
            rows = [builder.add(start, builder.mul(stride, r)) for r in numbers]
            totals = [
                build.alloca_once_value(
                    builder, builder.load(memory.pointer(2, builder.add(of, r)))
                )
                for r in numbers
            ]
            with build.for_range_slice(builder, first, last, llvm.Constant(WORD, 1), WORD) as (
                k,
                _,
            ):
                j = builder.sext(builder.load(memory.pointer(7, k)), WORD)
                if graded:
                    factor = builder.load(memory.pointer(10, builder.add(begin, j)))
                for row, total in zip(rows, totals, strict=True):
                    term = builder.load(memory.pointer(4, builder.add(row, j)))
                    if graded:
                        term = builder.fmul(term, factor)
                    builder.store(builder.fadd(builder.load(total), term), total)
            for r, total in zip(numbers, totals, strict=True):
                builder.store(builder.load(total), memory.pointer(0, builder.add(to, r)))
            return context.get_dummy_value()

        word = types.int64
        signature = types.void(
            y, word, base, word, weight, word, word, index, word, word, factors, word
        )
        return signature, generate

    return intrinsic(typing)


_columns, _graded_columns = _summing(False), _summing(True)


def _largest(_: Any, weight: Any, start: Any, count: Any) -> Any:
    """The largest bits but the sign of so many elements, a multiple of ``TURN``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = Memory(context, builder, signature, arguments)
        _, start, count = arguments
        width = int(signature.args[0].dtype.bitwidth)
        vector = llvm.VectorType(llvm.IntType(width), LANES)
        signless = llvm.Constant(vector, [2 ** (width - 1) - 1] * LANES)
        parts = [llvm.Constant(WORD, n) for n in range(0, TURN, LANES)]
        found = [build.alloca_once_value(builder, llvm.Constant(vector, None)) for _ in parts]
        kind = llvm.FunctionType(vector, [vector, vector])
        larger = build.get_or_insert_function(builder.module, kind, f"llvm.umax.v{LANES}i{width}")
        begin, step = llvm.Constant(WORD, 0), llvm.Constant(WORD, TURN)
        with build.for_range_slice(builder, begin, count, step, WORD) as (k, _):
            at = builder.add(start, k)
            for part, most in zip(parts, found, strict=True):
                bits = builder.bitcast(memory.load(0, builder.add(at, part), LANES), vector)
                bits = builder.and_(bits, signless)
                builder.store(builder.call(larger, [builder.load(most), bits]), most)
        most = builder.load(found[0])
        for other in found[1:]:
            most = builder.call(larger, [most, builder.load(other)])
        kind = llvm.FunctionType(vector.element, [vector])
        name = f"llvm.vector.reduce.umax.v{LANES}i{width}"
        whole = build.get_or_insert_function(builder.module, kind, name)
        return builder.zext(builder.call(whole, [most]), WORD)

    word = types.int64
    return types.uint64(weight, word, word), generate


_largest_bits: Any = intrinsic(_largest)


@compiled
def _finite(weight: Array, start: int, count: int) -> bool:
    """Whether all of so many elements are."""
    endless = np.uint64(0x7F800000 if weight.itemsize == 4 else 0x7FF0000000000000)
    whole = count // TURN * TURN
    if _largest_bits(weight, start, whole) >= endless:
        return False
    odd = 0
    for k in range(start + whole, start + count):
        odd += weight[k] - weight[k] != 0
    return odd == 0


@inlined
def _sum_of_all(
    y: Array, to: int, base: Any, weight: Array, start: int, x: Array, at: int, width: int
) -> None:
    """A weighted sum to which inputs of zero count too: zero times infinity is no number."""
    total = base
    for i in range(width):
        total = total + weight[start + i] * x[at + i]
    y[to] = total


@compiled
def sums_of_columns(
    x: Array,
    samples: int,
    width: int,
    weight: Array,
    bias: Array,
    y: Array,
    all_count: bool,
    index: Array,
    ends: Array,
    plain: Array,
) -> None:
    """Weighted sums of a few inputs.

    Args:
        x: the inputs (samples * width,).
        samples: how many.
        width: elements of one.
        weight: (outs * width,), as a module has it.
        bias: (outs,).
        y: the sums (samples * outs,).
        all_count: whether an input of zero makes no number of a weight that is not finite.
        index: room for the places of what is active in all inputs, and eight more.
        ends: room for ``samples + 1`` numbers.
        plain: room for ``samples`` flags.
    """
    outs = len(bias)
    ends[0] = 0
    for m in range(samples):
        ends[m + 1], plain[m] = active(x, m * width, width, index, ends[m])
    for o in range(0, outs, SIDE_BY_SIDE):
        rows, start = min(SIDE_BY_SIDE, outs - o), o * width
        finite = not all_count or _finite(weight, start, rows * width)
        for m in range(samples):
            to, at, k, n = m * outs + o, m * width, ends[m], ends[m + 1]
            if not finite:
                for r in range(rows):
                    _sum_of_all(y, to + r, bias[o + r], weight, start + r * width, x, at, width)
            elif rows < SIDE_BY_SIDE:
                for r in range(rows):
                    total, row = bias[o + r], start + r * width
                    for p in range(k, n):
                        total = total + weight[row + index[p]] * x[at + index[p]]
                    y[to + r] = total
            elif plain[m]:
                _columns(y, to, bias, o, weight, start, width, index, k, n, x, at)
            else:
                _graded_columns(y, to, bias, o, weight, start, width, index, k, n, x, at)
