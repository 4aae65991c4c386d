"""Runs of memory added up in vector registers, for CPUs.

Where a loop is short, what a compiler puts around it (does anything overlap? what is left over?)
takes longer than the loop. These few are therefore written in vectors of LLVM, of which every
processor makes what it has. Arrays are flat; nothing is checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir as llvm  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import compiled

Array = npt.NDArray[Any]
_build: Any = cgutils
LANES = 8
WORD, HALF, BIT = llvm.IntType(64), llvm.IntType(32), llvm.IntType(1)


def _table() -> Array:
    """For each of 256 masks, the numbers of its set bits, one after another."""
    table = np.zeros((256, LANES), np.int32)
    for mask in range(256):
        bits = [bit for bit in range(LANES) if mask >> bit & 1]
        table[mask, : len(bits)] = bits
    return table.reshape(-1)


BITS = _table()


class _Memory:
    """Arrays of a function that is being generated, as vectors at places in them."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder = context, builder
        self.types, self.values = signature.args, arguments

    def element(self, argument: int) -> Any:
        return self.context.get_data_type(self.types[argument].dtype)

    def pointer(self, argument: int, at: Any, lanes: int = 0) -> Any:
        """Where element ``at`` of an argument is; with ``lanes``, as a vector of so many."""
        array = self.context.make_array(self.types[argument])
        data = array(self.context, self.builder, self.values[argument]).data
        place = self.builder.gep(data, [at])
        if not lanes:
            return place
        vector = llvm.VectorType(self.element(argument), lanes)
        return self.builder.bitcast(place, vector.as_pointer())

    def load(self, argument: int, at: Any, lanes: Any) -> Any:
        """So many elements from ``at`` on; with a mask for lanes, those it names, else zero."""
        if isinstance(lanes, int):
            value = self.builder.load(self.pointer(argument, at, lanes))
            value.align = self._align(argument)
            return value
        vector = llvm.VectorType(self.element(argument), LANES)
        place = self.pointer(argument, at, LANES)
        kind = llvm.FunctionType(vector, [place.type, HALF, lanes.type, vector])
        align = llvm.Constant(HALF, self._align(argument))
        rest = llvm.Constant(vector, None)
        return self._call("load", vector, kind, [place, align, lanes, rest])

    def store(self, argument: int, at: Any, value: Any, lanes: Any) -> None:
        """Write a vector; with a mask for lanes, those it names."""
        place = self.pointer(argument, at, value.type.count)
        if isinstance(lanes, int):
            self.builder.store(value, place).align = self._align(argument)
            return
        kind = llvm.FunctionType(llvm.VoidType(), [value.type, place.type, HALF, lanes.type])
        align = llvm.Constant(HALF, self._align(argument))
        self._call("store", value.type, kind, [value, place, align, lanes])

    def _align(self, argument: int) -> int:
        return int(self.types[argument].dtype.bitwidth) // 8

    def _call(self, verb: str, vector: Any, kind: Any, arguments: list[Any]) -> Any:
        element = "f32" if isinstance(vector.element, llvm.FloatType) else "f64"
        name = f"llvm.masked.{verb}.v{LANES}{element}.p0"
        function = _build.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def first(self, count: Any) -> Any:
        """A mask of the first ``count`` lanes."""
        numbers = llvm.Constant(llvm.VectorType(HALF, LANES), list(range(LANES)))
        limit = self.spread(self.builder.trunc(count, HALF), LANES)
        return self.builder.icmp_signed("<", numbers, limit)

    def spread(self, scalar: Any, lanes: int) -> Any:
        """A vector of one number."""
        vector = llvm.VectorType(scalar.type, lanes)
        empty = llvm.Constant(vector, llvm.Undefined)
        one = self.builder.insert_element(empty, scalar, llvm.Constant(HALF, 0))
        zeros = llvm.Constant(llvm.VectorType(HALF, lanes), [0] * lanes)
        return self.builder.shuffle_vector(one, empty, zeros)


def _rows(lanes: int, graded: bool) -> Any:
    """A function that adds up rows of a matrix, ``lanes`` columns of them; 0: a few columns."""

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
            memory = _Memory(context, builder, signature, arguments)
            _, to, count, _, of, _, start, stride, _, first, last, _, begin, step = arguments
            what = lanes or memory.first(count)
            total = _build.alloca_once_value(builder, memory.load(3, of, what))
            with _build.for_range_slice(builder, first, last, llvm.Constant(WORD, 1), WORD) as (
                k,
                _,
            ):
                i = builder.sext(builder.load(memory.pointer(8, k)), WORD)
                row = memory.load(5, builder.add(start, builder.mul(i, stride)), what)
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
_graded_32, _graded_8, _graded_few = (_rows(n, True) for n in (32, 8, 0))


@compiled
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
    """
    k = 0
    if y.itemsize == 4:
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


def _found(_: Any, x: Any, at: Any, table: Any, base: Any, index: Any, n: Any, ones: Any) -> Any:
    """Notes which of eight elements are not zero, and counts them and the ones among them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = _Memory(context, builder, signature, arguments)
        _, at, _, base, _, n, _ = arguments
        x = memory.load(0, at, LANES)
        zero, one = (llvm.Constant(x.type, [value] * LANES) for value in (0.0, 1.0))
        mask = builder.bitcast(builder.fcmp_unordered("!=", x, zero), llvm.IntType(8))
        plain = builder.bitcast(builder.fcmp_ordered("==", x, one), llvm.IntType(8))
        mask, plain = builder.zext(mask, WORD), builder.zext(plain, WORD)
        bits = memory.load(2, builder.mul(mask, llvm.Constant(WORD, LANES)), LANES)
        places = builder.add(bits, memory.spread(builder.trunc(base, HALF), LANES))
        memory.store(4, n, places, LANES)
        done = builder.add(n, builder.ctpop(mask))
        ones = builder.add(arguments[6], builder.ctpop(plain))
        return context.make_tuple(builder, signature.return_type, [done, ones])

    word = types.int64
    pair: Any = types.UniTuple
    return pair(word, 2)(x, word, table, word, index, word, word), generate


_note_eight: Any = intrinsic(_found)


@compiled
def active(x: Array, at: int, width: int, index: Array, n: int) -> tuple[int, bool]:
    """Write the places of what is not zero in ``x[at : at + width]`` to ``index[n:]``.

    ``index`` needs room for eight more than are found.

    Returns:
        (the place after the last in ``index``, whether all that is not zero is one).
    """
    begin, ones, k = n, 0, 0
    while k + 8 <= width:
        n, ones = _note_eight(x, at + k, BITS, k, index, n, ones)
        k += 8
    while k < width:
        a = x[at + k]
        index[n] = k
        n += a != 0
        ones += a == 1
        k += 1
    return n, n - begin == ones


def _run(lanes: int, graded: bool) -> Any:
    """A function that adds a run of memory to another, ``lanes`` long; 0: a few elements."""

    def typing(_: Any, y: Any, to: Any, count: Any, weight: Any, start: Any, factor: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            memory = _Memory(context, builder, signature, arguments)
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


@compiled
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


def _window(lanes: int, mean: bool) -> Any:
    """A function that pools a window of pixels, ``lanes`` channels of it; 0: a few channels."""

    def typing(
        _: Any,
        y: Any,
        to: Any,
        count: Any,
        x: Any,
        at: Any,
        high: Any,
        wide: Any,
        down: Any,
        right: Any,
        area: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            memory = _Memory(context, builder, signature, arguments)
            _, to, count, _, at, high, wide, down, right, area = arguments
            what = lanes or memory.first(count)
            first = memory.load(3, at, what)
            start = llvm.Constant(first.type, None) if mean else first
            total = _build.alloca_once_value(builder, start)
            zero, one = llvm.Constant(WORD, 0), llvm.Constant(WORD, 1)
            with _build.for_range_slice(builder, zero, high, one, WORD) as (row, _):
                begin = builder.add(at, builder.mul(row, down))
                with _build.for_range_slice(builder, zero, wide, one, WORD) as (column, _):
                    place = builder.add(begin, builder.mul(column, right))
                    found, best = memory.load(3, place, what), builder.load(total)
                    if mean:
                        best = builder.fadd(best, found)
                    else:
                        more = builder.fcmp_ordered(">", found, best)
                        best = builder.select(more, found, best)
                    builder.store(best, total)
            result = builder.load(total)
            if mean:
                result = builder.fdiv(result, memory.spread(area, lanes or LANES))
            memory.store(0, to, result, what)
            return context.get_dummy_value()

        word = types.int64
        return types.void(y, word, word, x, *[word] * 5, y.dtype), generate

    return intrinsic(typing)


_highest_16, _highest_8, _highest_few = (_window(n, False) for n in (16, 8, 0))
_mean_8, _mean_few = (_window(n, True) for n in (8, 0))


@compiled
def pool_window(
    y: Array,
    to: int,
    count: int,
    x: Array,
    at: int,
    high: int,
    wide: int,
    down: int,
    right: int,
    mean: bool,
    area: Any,
) -> None:
    """Pool a window of ``high`` times ``wide`` pixels of ``count`` channels to ``y[to:]``.

    Args:
        y: what comes out.
        to: where.
        count: the channels.
        x: the map, channels last.
        at: where the window begins in it.
        high: rows of the window.
        wide: columns of it.
        down: from row to row.
        right: from column to column.
        mean: the mean; else the highest.
        area: pixels of the window, in the dtype of the arithmetic.
    """
    end = to + count
    if mean:
        while to + 8 <= end:
            _mean_8(y, to, 8, x, at, high, wide, down, right, area)
            to, at = to + 8, at + 8
        if to < end:
            _mean_few(y, to, end - to, x, at, high, wide, down, right, area)
        return
    while to + 16 <= end:
        _highest_16(y, to, 16, x, at, high, wide, down, right, area)
        to, at = to + 16, at + 16
    if to + 8 <= end:
        _highest_8(y, to, 8, x, at, high, wide, down, right, area)
        to, at = to + 8, at + 8
    if to < end:
        _highest_few(y, to, end - to, x, at, high, wide, down, right, area)
