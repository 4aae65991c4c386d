"""Windows of a map pooled in vector registers, and back, for CPUs."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from llvmlite import ir as llvm
from numba import types
from numba.extending import intrinsic

from .compiled import inlined
from .vectors import LANES, WORD, Memory, build

Array = npt.NDArray[Any]


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
            memory = Memory(context, builder, signature, arguments)
            _, to, count, _, at, high, wide, down, right, area = arguments
            what = lanes or memory.first(count)
            first = memory.load(3, at, what)
            start = llvm.Constant(first.type, None) if mean else first
            total = build.alloca_once_value(builder, start)
            zero, one = llvm.Constant(WORD, 0), llvm.Constant(WORD, 1)
            with build.for_range_slice(builder, zero, high, one, WORD) as (row, _):
                begin = builder.add(at, builder.mul(row, down))
                with build.for_range_slice(builder, zero, wide, one, WORD) as (column, _):
                    place = builder.add(begin, builder.mul(column, right))
                    found, best = memory.load(3, place, what), builder.load(total)
                    if mean:
                        best = builder.fadd(best, found)
                    else:
                        # As in torch, what is not a number is the highest.
                        more = builder.or_(
                            builder.fcmp_ordered(">", found, best),
                            builder.fcmp_unordered("uno", found, found),
                        )
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


@inlined
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


def _unpooled(lanes: int, mean: bool) -> Any:
    """A function that takes gradients back to a window, ``lanes`` channels; 0: a few channels."""

    def typing(
        _: Any,
        gs: Any,
        to: Any,
        count: Any,
        x: Any,
        g: Any,
        at: Any,
        high: Any,
        wide: Any,
        down: Any,
        right: Any,
        area: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            memory = Memory(context, builder, signature, arguments)
            _, to, count, _, _, at, high, wide, down, right, area = arguments
            what = lanes or memory.first(count)
            zero, one = llvm.Constant(WORD, 0), llvm.Constant(WORD, 1)

            def over(work: Any) -> None:
                with build.for_range_slice(builder, zero, high, one, WORD) as (row, _):
                    begin = builder.add(to, builder.mul(row, down))
                    with build.for_range_slice(builder, zero, wide, one, WORD) as (column, _):
                        work(builder.add(begin, builder.mul(column, right)))

            given = memory.load(4, at, what)
            if mean:
                share = builder.fdiv(given, memory.spread(area, lanes or LANES))
                over(lambda place: memory.store(0, place, share, what))
                return context.get_dummy_value()
            highest = build.alloca_once_value(builder, memory.load(3, to, what))
            left = build.alloca_once_value(builder, given)
            none = llvm.Constant(given.type, None)

            def look(place: Any) -> None:
                found, best = memory.load(3, place, what), builder.load(highest)
                more = builder.fcmp_ordered(">", found, best)
                builder.store(builder.select(more, found, best), highest)

            def hand_out(place: Any) -> None:
                rest = builder.load(left)
                met = memory.load(3, place, what)
                meets = builder.fcmp_ordered("==", met, builder.load(highest))
                memory.store(0, place, builder.select(meets, rest, none), what)
                builder.store(builder.select(meets, none, rest), left)

            over(look)
            over(hand_out)
            return context.get_dummy_value()

        word = types.int64
        return types.void(gs, word, word, x, g, *[word] * 5, gs.dtype), generate

    return intrinsic(typing)


_unpooled_16, _unpooled_8, _unpooled_few = (_unpooled(n, False) for n in (16, 8, 0))
_shared_8, _shared_few = (_unpooled(n, True) for n in (8, 0))


@inlined
def unpool_window(
    gs: Array,
    to: int,
    count: int,
    x: Array,
    g: Array,
    at: int,
    high: int,
    wide: int,
    down: int,
    right: int,
    mean: bool,
    area: Any,
) -> None:
    """Take the gradient of a pooled window of ``count`` channels back to ``gs[to:]``.

    The first of the highest takes all of it, as in torch; nothing may be infinite or no number.

    Args:
        gs: takes the gradients of the map, channels last.
        to: where the window begins in it, and in ``x``.
        count: the channels.
        x: the map.
        g: gradients of what came out.
        at: where that of the window is.
        high: rows of the window.
        wide: columns of it.
        down: from row to row.
        right: from column to column.
        mean: it is the mean; else the highest.
        area: pixels of the window, in the dtype of the arithmetic.
    """
    end = to + count
    if mean:
        while to + 8 <= end:
            _shared_8(gs, to, 8, x, g, at, high, wide, down, right, area)
            to, at = to + 8, at + 8
        if to < end:
            _shared_few(gs, to, end - to, x, g, at, high, wide, down, right, area)
        return
    while to + 16 <= end:
        _unpooled_16(gs, to, 16, x, g, at, high, wide, down, right, area)
        to, at = to + 16, at + 16
    if to + 8 <= end:
        _unpooled_8(gs, to, 8, x, g, at, high, wide, down, right, area)
        to, at = to + 8, at + 8
    if to < end:
        _unpooled_few(gs, to, end - to, x, g, at, high, wide, down, right, area)
