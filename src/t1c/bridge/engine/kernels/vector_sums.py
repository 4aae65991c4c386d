"""Rows and runs of memory added up in vector registers, and what is active found, for CPUs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir as llvm
from numba import types
from numba.extending import intrinsic

from .compiled import compiled, inlined
from .vectors import HALF, LANES, WORD, Memory, build

Array = npt.NDArray[Any]


def _rows(lanes: int, graded: bool, ahead: bool = False) -> Any:
    """A function that adds up rows of a matrix, ``lanes`` columns of them; 0: a few columns.

    ``ahead``: it asks for the columns behind them, which are next, and keeps none of them.
    """

    def typing(
        _: Any,
        y: Any,
        to: Any,
        count: Any,
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
        step: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            memory = Memory(context, builder, signature, arguments)
            _, to, count, _, of, _, start, stride, _, first, last, _, begin, step = arguments
            what = lanes or memory.first(count)
            total = build.alloca_once_value(builder, memory.load(3, of, what))
            with build.for_range_slice(builder, first, last, llvm.Constant(WORD, 1), WORD) as (
                k,
                _,
            ):
                i = builder.sext(builder.load(memory.pointer(8, k)), WORD)
                place = builder.add(start, builder.mul(i, stride))
                row = memory.load(5, place, what)
                if ahead:
                    memory.prefetch(5, builder.add(place, llvm.Constant(WORD, lanes)), lanes)
                if graded:
                    at = builder.add(begin, builder.mul(i, step))
                    factor = builder.load(memory.pointer(11, at))
                    row = builder.fmul(row, memory.spread(factor, lanes or LANES))
                builder.store(builder.fadd(builder.load(total), row), total)
            memory.store(0, to, builder.load(total), what)
            return context.get_dummy_value()

        word = types.int64
        signature = types.void(
            y, word, word, base, word, weight, word, word, index, word, word, factors, word, word
        )
        return signature, generate

    return intrinsic(typing)


_rows_64, _rows_32, _rows_16, _rows_8, _rows_few = (_rows(n, False) for n in (64, 32, 16, 8, 0))
_rows_64_ahead = _rows(64, False, ahead=True)
_graded_32, _graded_8, _graded_few = (_rows(n, True) for n in (32, 8, 0))


@inlined
def add_rows(
    y: Array,
    to: int,
    count: int,
    base: Array,
    of: int,
    weight: Array,
    start: int,
    stride: int,
    index: Array,
    first: int,
    last: int,
    once: bool,
) -> None:
    """Sum up ``base[of : of + count]`` and rows ``index[first:last]`` of a weight, in that order.

    Args:
        y: takes the sums.
        to: where.
        count: how many columns.
        base: what they begin with.
        of: where.
        weight: the rows, which begin ``stride`` apart.
        start: the column of row 0 that counts for ``y[to]``.
        stride: from row to row.
        index: the numbers of rows.
        first: the first of them.
        last: the one after the last.
        once: whether what is read is not soon read again.
    """
    k = 0
    if y.itemsize == 4:
        while once and k + 128 <= count:
            _rows_64_ahead(
                y, to + k, 64, base, of + k, weight, start + k, stride, index, first, last, y, 0, 0
            )
            k += 64
        while k + 64 <= count:
            _rows_64(
                y, to + k, 64, base, of + k, weight, start + k, stride, index, first, last, y, 0, 0
            )
            k += 64
    while k + 32 <= count:
        _rows_32(
            y, to + k, 32, base, of + k, weight, start + k, stride, index, first, last, y, 0, 0
        )
        k += 32
    if k + 16 <= count:
        _rows_16(
            y, to + k, 16, base, of + k, weight, start + k, stride, index, first, last, y, 0, 0
        )
        k += 16
    if k + 8 <= count:
        _rows_8(y, to + k, 8, base, of + k, weight, start + k, stride, index, first, last, y, 0, 0)
        k += 8
    if k < count:
        few = count - k
        _rows_few(
            y, to + k, few, base, of + k, weight, start + k, stride, index, first, last, y, 0, 0
        )


@compiled
def add_graded_rows(
    y: Array,
    to: int,
    count: int,
    base: Array,
    of: int,
    weight: Array,
    start: int,
    stride: int,
    index: Array,
    first: int,
    last: int,
    factors: Array,
    begin: int,
    step: int,
) -> None:
    """The same, row ``i`` times ``factors[begin + i * step]``."""
    k = 0
    while k + 32 <= count:
        _graded_32(
            y, to + k, 32, base, of + k, weight, start + k, stride, index, first, last,
            factors, begin, step,
        )  # fmt: skip
        k += 32
    while k + 8 <= count:
        _graded_8(
            y, to + k, 8, base, of + k, weight, start + k, stride, index, first, last,
            factors, begin, step,
        )  # fmt: skip
        k += 8
    if k < count:
        _graded_few(
            y, to + k, count - k, base, of + k, weight, start + k, stride, index, first, last,
            factors, begin, step,
        )  # fmt: skip


def _table() -> Array:
    """For each of 256 masks, the numbers of its set bits, one after another."""
    table = np.zeros((256, LANES), np.int32)
    for mask in range(256):
        bits = [bit for bit in range(LANES) if mask >> bit & 1]
        table[mask, : len(bits)] = bits
    return table.reshape(-1)


BITS = _table()


def _noting(whole: bool) -> Any:
    """A function that notes which of eight elements are not zero; not ``whole``: of fewer."""

    def typing(
        _: Any, x: Any, at: Any, count: Any, table: Any, base: Any, index: Any, n: Any, ones: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            memory = Memory(context, builder, signature, arguments)
            _, at, count, _, base, _, n, ones = arguments
            x = memory.load(0, at, LANES if whole else memory.first(count))
            zero, one = (llvm.Constant(x.type, [value] * LANES) for value in (0.0, 1.0))
            mask = builder.bitcast(builder.fcmp_unordered("!=", x, zero), llvm.IntType(8))
            plain = builder.bitcast(builder.fcmp_ordered("==", x, one), llvm.IntType(8))
            mask, plain = builder.zext(mask, WORD), builder.zext(plain, WORD)
            bits = memory.load(3, builder.mul(mask, llvm.Constant(WORD, LANES)), LANES)
            places = builder.add(bits, memory.spread(builder.trunc(base, HALF), LANES))
            memory.store(5, n, places, LANES)
            done = builder.add(n, builder.ctpop(mask))
            ones = builder.add(ones, builder.ctpop(plain))
            return context.make_tuple(builder, signature.return_type, [done, ones])

        word = types.int64
        pair: Any = types.UniTuple
        return pair(word, 2)(x, word, word, table, word, index, word, word), generate

    return intrinsic(typing)


_note_eight, _note_few = _noting(True), _noting(False)


@inlined
def active(x: Array, at: int, width: int, index: Array, n: int, first: int = 0) -> tuple[int, bool]:
    """Write the places of what is not zero in ``x[at : at + width]`` to ``index[n:]``.

    The place of ``x[at]`` counts as ``first``. ``index`` needs room for eight more than are found.

    Returns:
        (the place after the last in ``index``, whether all that is not zero is one).
    """
    begin, ones, k = n, 0, 0
    while k + 8 <= width:
        n, ones = _note_eight(x, at + k, 8, BITS, first + k, index, n, ones)
        k += 8
    if k < width:
        n, ones = _note_few(x, at + k, width - k, BITS, first + k, index, n, ones)
    return n, n - begin == ones


def _trailing_zeros(_: Any, bits: Any) -> Any:
    """How many zeros are below the lowest bit of a word that is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], llvm.Constant(llvm.IntType(1), 1))

    return types.int64(bits), generate


trailing_zeros: Any = intrinsic(_trailing_zeros)


def _run(lanes: int, graded: bool) -> Any:
    """A function that adds a run of memory to another, ``lanes`` long; 0: a few elements."""

    def typing(_: Any, y: Any, to: Any, count: Any, weight: Any, start: Any, factor: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            memory = Memory(context, builder, signature, arguments)
            _, to, count, _, start, factor = arguments
            what = lanes or memory.first(count)
            row = memory.load(3, start, what)
            if graded:
                row = builder.fmul(row, memory.spread(factor, lanes or LANES))
            memory.store(0, to, builder.fadd(memory.load(0, to, what), row), what)
            return context.get_dummy_value()

        word = types.int64
        return types.void(y, word, word, weight, word, y.dtype), generate

    return intrinsic(typing)


_run_8, _run_few = (_run(n, False) for n in (8, 0))
_graded_run_8, _graded_run_few = (_run(n, True) for n in (8, 0))


@inlined
def add_run(y: Array, to: int, count: int, weight: Array, start: int, factor: Any) -> None:
    """Add ``weight[start : start + count]`` times ``factor`` to ``y[to : to + count]``."""
    end = to + count
    if factor == 1:
        while to + 8 <= end:
            _run_8(y, to, 8, weight, start, factor)
            to, start = to + 8, start + 8
        if to < end:
            _run_few(y, to, end - to, weight, start, factor)
        return
    while to + 8 <= end:
        _graded_run_8(y, to, 8, weight, start, factor)
        to, start = to + 8, start + 8
    if to < end:
        _graded_run_few(y, to, end - to, weight, start, factor)
