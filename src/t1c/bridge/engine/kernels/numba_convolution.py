"""A convolution over what fires, and what stands behind it up to the pool, as one loop, for CPUs.

Maps lie channels last, so that for each input the weights to all outputs are one run of memory.
What is active in a row of the input is written down once, in order; what an output sees of a row is
a part of that list, and its sum over all of it stays in registers. While a row of sums is in the
cache, it is normalised, what comes another way is added, and the membranes take their step.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from .compiled import Array, compiled, put
from .native import FREE, SIZE, claim, native
from .numba_calls import WALK, pointer, walk
from .vector_sums import active, add_graded_rows, add_rows, trailing_zeros
from .vector_windows import pool_window

NO_POOL, MAX, MEAN = range(3)
(STEPS, BATCH, BANDS, TILE, ORDERED, LOOP, NUMBERS, SYNAPSE, POOLING, PERIOD, GIVEN_STEPS,
 NORM_STEPS, X, WEIGHT, BIAS, GIVEN, NORM, BESIDE, MEMBRANE, CURRENT, COEFFICIENTS, Y,
 ) = range(FREE, FREE + 22)  # fmt: skip
GEOMETRY, WINDOWS, LAST = FREE + 22, FREE + 36, FREE + 42
"""Places of a block's table: sizes, options, the addresses of arrays, and the two geometries."""
FEW = 8
"""Channels of a pixel from which on they fill a vector."""


@compiled
def note_row(
    x: Array, at: int, pixels: int, channels: int, index: Array, starts: Array, n: int
) -> tuple[int, bool]:
    """Write down what is active in a row of a map, and where each of its pixels begins.

    Args:
        x: the map, flat.
        at: where the row begins in it.
        pixels: of the row.
        channels: of a pixel.
        index: takes the places of what is active, counted from the beginning of the row.
        starts: (pixels + 1,) takes for each pixel where it begins in ``index``.
        n: how many are in ``index`` already.

    Returns:
        (how many are in it then, whether all that is active is one).
    """
    if channels < FEW:
        begin = n
        n, ones = active(x, at, pixels * channels, index, n)
        pixel = 0
        for e in range(begin, n):
            while pixel * channels <= index[e]:
                starts[pixel] = e
                pixel += 1
        starts[pixel : pixels + 1] = n
        return n, ones
    ones = True
    for pixel in range(pixels):
        starts[pixel] = n
        first = pixel * channels
        n, plain = active(x, at + first, channels, index, n, first)
        ones = ones and plain
    starts[pixels] = n
    return n, ones


@compiled
def gather(
    row: int,
    x: Array,
    index: Array,
    starts: Array,
    ones: Array,
    above: int,
    weight: Array,
    of: int,
    bias: Array,
    outs: int,
    sums: Array,
    g: Array,
) -> None:
    """The sums of one row of outputs.

    Args:
        row: of the outputs.
        x: the input map (rows * columns * in,), channels last.
        index: what is active in each of its rows.
        starts: where each of their pixels begins in it.
        ones: whether all that is active in a row is one.
        above: the row that the first of them is.
        weight: as ``weights.by_place`` lays it out.
        of: where (kH * kW * in * outs) begin in it.
        bias: (outs,).
        outs: channels that are worked.
        sums: (columns * outs,).
        g: the geometry; see ``Convolution``.
    """
    columns, high, wide = g[1], g[3], g[4]
    down, right, top, left, reach_down, reach_right = g[5], g[6], g[7], g[8], g[9], g[10]
    channels, height, width = g[11], g[12], g[13]
    # A column of the kernel meets the next pixel: what lies side by side is added in one go.
    together = wide if reach_right == 1 else 1
    for column in range(columns):
        to = column * outs
        base, begun = bias, 0
        for kr in range(high):
            r = row * down - top + kr * reach_down
            if r < 0 or r >= height:
                continue
            for kc in range(0, wide, together):
                p = column * right - left + kc * reach_right
                begin, end = max(p, 0), min(p + together, width)
                if begin >= end:
                    continue
                start = of + (kr * wide + kc - p) * channels * outs
                first, last = starts[r - above, begin], starts[r - above, end]
                if ones[r - above]:
                    add_rows(
                        sums, to, outs, base, begun, weight, start, outs, index, first, last, False
                    )
                else:
                    add_graded_rows(
                        sums, to, outs, base, begun, weight, start, outs, index, first, last,
                        x, r * width * channels, 1,
                    )  # fmt: skip
                base, begun = sums, to
        if base is bias:
            put(bias, sums[to : to + outs])


@compiled
def gather_in_order(
    row: int,
    x: Array,
    index: Array,
    starts: Array,
    ones: Array,
    above: int,
    weight: Array,
    of: int,
    bias: Array,
    outs: int,
    sums: Array,
    g: Array,
    lit: Array,
    picked: Array,
    factors: Array,
) -> None:
    """The sums of one row of outputs, each channel by channel and within one row by row.

    Args:
        row: of the outputs.
        x: the input map.
        index: what is active.
        starts: where pixels begin in it.
        ones: whether all that is active in a row is one.
        above: the row that the first of them is.
        weight: as ``weights.by_place`` lays it out with ``ordered``.
        of: where those of the outputs begin in it.
        bias: (outs,).
        outs: channels that are worked.
        sums: (columns * outs,).
        g: the geometry.
        lit: (in,) takes one bit for each element of the kernel that sees something active.
        picked: (in * kH * kW + 8,) takes the elements of the weight that are added.
        factors: (in * kH * kW,) takes what they are multiplied by.
    """
    columns, high, wide = g[1], g[3], g[4]
    down, right, top, left, reach_down, reach_right = g[5], g[6], g[7], g[8], g[9], g[10]
    channels, height, width = g[11], g[12], g[13]
    area, one = high * wide, np.uint64(1)
    # What the next output sees too moves to its new place, where windows overlap.
    again = wide - right if reach_right == 1 and right < wide else 0
    stays = np.uint64(0)
    for kr in range(high):
        for kc in range(again):
            stays |= one << np.uint64(kr * wide + kc)
    lit[:] = 0
    for column in range(columns):
        begin = again if column else 0
        if begin:
            for c in range(channels):
                lit[c] = (lit[c] >> np.uint64(right)) & stays
        else:
            lit[:] = 0
        plain = True
        for kr in range(high):
            r = row * down - top + kr * reach_down
            if r < 0 or r >= height:
                continue
            plain = plain and ones[r - above]
            for kc in range(begin, wide):
                p = column * right - left + kc * reach_right
                if p < 0 or p >= width:
                    continue
                bit, first = one << np.uint64(kr * wide + kc), p * channels
                for e in range(starts[r - above, p], starts[r - above, p + 1]):
                    lit[index[e] - first] |= bit
        n = 0
        for c in range(channels):
            bits = lit[c]
            while bits != 0:
                picked[n] = c * area + trailing_zeros(bits)
                n += 1
                bits &= bits - one
        to = column * outs
        if plain:
            add_rows(sums, to, outs, bias, 0, weight, of, outs, picked, 0, n, False)
            continue
        for e in range(n):
            c, k = picked[e] // area, picked[e] % area
            r = row * down - top + k // wide * reach_down
            p = column * right - left + k % wide * reach_right
            factors[picked[e]] = x[(r * width + p) * channels + c]
        add_graded_rows(
            sums, to, outs, bias, 0, weight, of, outs, picked, 0, n, factors, 0, 1
        )  # fmt: skip


@compiled
def pool(
    kind: int, first: int, last: int, above: int, maps: Array, columns: int, outs: int, q: Array,
    all_outs: int, begin: int, y: Array,
) -> None:  # fmt: skip
    """Pool rows ``first`` to ``last`` of what comes out.

    Args:
        kind: MAX or MEAN.
        first: row of what comes out.
        last: the one after the last.
        above: the row of the map that ``maps`` begins with.
        maps: (rows * columns * outs,) what is pooled.
        columns: of it.
        outs: channels of it.
        q: window, strides, pooled rows, columns.
        all_outs: channels of what comes out.
        begin: the channel of it that the first of ``maps`` is.
        y: what comes out.
    """
    high, wide, down, right, pooled_columns = q[0], q[1], q[2], q[3], q[5]
    area = y.dtype.type(high * wide)
    # The order of additions in a mean is that of torch: along the rows of a window.
    for r in range(first, last):
        for c in range(pooled_columns):
            to = (r * pooled_columns + c) * all_outs + begin
            at = ((r * down - above) * columns + c * right) * outs
            row = columns * outs
            pool_window(y, to, outs, maps, at, high, wide, row, outs, kind == MEAN, area)


@functools.cache
def block_kernel(dtype: Any) -> Any:
    """The loop in an arithmetic.

    A piece of work is a tile of the channels of a band of rows of one sample, through all steps.
    Where the sums are ``given`` (one step of them for all, or each), what is behind them is worked.
    A neuron is where its ``LOOP`` is, which works in place. It takes the table that is named above.
    """

    def block(data: Any) -> None:  # pragma: no cover - compiled
        table = carray(data, (LAST,), np.int64)
        steps, batch, bands, tile = table[STEPS], table[BATCH], table[BANDS], table[TILE]
        ordered, synapse, loop = table[ORDERED] != 0, table[SYNAPSE] != 0, table[LOOP]
        pooling, period = table[POOLING], table[PERIOD]
        geometry, windows = table[GEOMETRY : GEOMETRY + 14], table[WINDOWS : WINDOWS + 6]
        rows, columns, all_outs, high = geometry[0], geometry[1], geometry[2], geometry[3]
        wide, down, top, reach_down = geometry[4], geometry[5], geometry[7], geometry[9]
        channels, height, width = geometry[11], geometry[12], geometry[13]
        pooled, fires = pooling != NO_POOL, loop != 0
        normed, added, dense = table[NORM] != 0, table[BESIDE] != 0, table[GIVEN] != 0
        entering = 0 if dense else channels * height * width
        leaving, given_steps = rows * columns * all_outs, table[GIVEN_STEPS]
        weights = 0 if dense else channels * high * wide * all_outs
        x = carray(pointer(table[X]), (steps, batch, entering), dtype)
        weight = carray(pointer(table[WEIGHT]), (weights,), dtype)
        bias = carray(pointer(table[BIAS]), (0 if dense else all_outs,), dtype)
        sent = leaving if dense else 0
        given = carray(pointer(table[GIVEN]), (given_steps, batch, sent), dtype)
        norm_steps = table[NORM_STEPS] if normed else 0
        norm = carray(pointer(table[NORM]), (norm_steps, 2, all_outs), dtype)
        beside = carray(pointer(table[BESIDE]), (steps, batch, leaving if added else 0), dtype)
        v = carray(pointer(table[MEMBRANE]), (batch, leaving if fires else 0), dtype)
        i = carray(pointer(table[CURRENT]), (batch, leaving if synapse else 0), dtype)
        if pooled:
            leaving = windows[4] * windows[5] * all_outs
        y = carray(pointer(table[Y]), (steps, batch, leaving), dtype)
        told, item = np.empty(WALK, np.int64), y.itemsize
        goals = windows[4] if pooled else rows
        while True:
            piece = claim(data)
            if piece >= table[SIZE]:
                break
            lead, b, band = piece // (bands * batch) * tile, piece // bands % batch, piece % bands
            goal, stop = goals * band // bands, goals * (band + 1) // bands
            if goal >= stop:
                continue
            begin, end = goal, stop
            if pooled:
                # With several bands, no window reaches into the next.
                begin, end = goal * windows[2], stop * windows[2]
                if band == bands - 1:
                    end = rows
            tall = end - begin
            outs = min(tile, all_outs - lead)
            size = columns * outs
            # What lies together in the whole map: a row, or of a tile a pixel.
            run = size if outs == all_outs else outs
            # Local arrays: the compiler must see that nothing overlaps.
            sums = np.empty(size, x.dtype)
            factors = np.empty(size if normed else 0, x.dtype)
            shifts = np.empty(size if normed else 0, x.dtype)
            above = max(begin * down - top, 0)
            below = min((end - 1) * down - top + (high - 1) * reach_down + 1, height)
            seen = 0 if dense else max(below - above, 0)
            index = np.empty(seen * width * channels + 8, np.int32)
            starts, ones = np.empty((seen, width + 1), np.int64), np.empty(seen, np.bool_)
            lit = np.empty(channels if ordered else 0, np.uint64)
            elements = channels * high * wide if ordered else 0
            picked, factors_of = np.empty(elements + 8, np.int32), np.empty(elements, x.dtype)
            # A window that shares no row with the next is pooled when its last row is there.
            apart = pooled and windows[0] == windows[2]
            held = (windows[0] if apart else tall) if pooled else 0
            maps = np.empty(held * size, x.dtype)
            whole = tall * size if fires else 0
            # Of a state of two variables the current is the first.
            current = whole if synapse else 0
            carried = np.empty(current + whole, x.dtype)
            cs, vs = carried[:current], carried[current:]
            for a in range(0, whole, run):
                place = (begin * columns + a // outs) * all_outs + lead
                put(v[b, place : place + run], vs[a : a + run])
                if synapse:
                    put(i[b, place : place + run], cs[a : a + run])
            for t in range(steps):
                if t < norm_steps:
                    for k in range(size):
                        factors[k] = norm[t, 0, lead + k % outs]
                        shifts[k] = norm[t, 1, lead + k % outs]
                n = 0
                for r in range(seen):
                    n, plain = note_row(
                        x[t, b], (above + r) * width * channels, width, channels, index,
                        starts[r], n,
                    )  # fmt: skip
                    ones[r] = plain
                for row in range(tall):
                    if dense:
                        for a in range(0, size, run):
                            place = ((begin + row) * columns + a // outs) * all_outs + lead
                            put(given[t % given_steps, b, place : place + run], sums[a : a + run])
                    elif ordered:
                        gather_in_order(
                            begin + row, x[t, b], index, starts, ones, above, weight,
                            lead * high * wide * channels, bias[lead : lead + outs], outs, sums,
                            geometry, lit, picked, factors_of,
                        )  # fmt: skip
                    else:
                        gather(
                            begin + row, x[t, b], index, starts, ones, above, weight,
                            lead * high * wide * channels, bias[lead : lead + outs], outs, sums,
                            geometry,
                    )  # fmt: skip
                    if normed:
                        for k in range(size):
                            sums[k] = sums[k] * factors[k] + shifts[k]
                    for a in range(0, size, run):
                        place = ((begin + row) * columns + a // outs) * all_outs + lead
                        if added:
                            ss, others = sums[a : a + run], beside[t, b, place : place + run]
                            for k in range(run):
                                ss[k] = ss[k] + others[k]
                        at = 0
                        while fires and at < run:
                            p = (place + at) % period
                            m = min(run - at, period - p)
                            here = row * size + a + at
                            own = sums[a + at :].ctypes.data
                            walk(
                                loop, told, 0, m, 1, table[NUMBERS],
                                table[COEFFICIENTS] + p * item, period,
                                carried[here:].ctypes.data, whole, own, 0, own, 0,
                            )  # fmt: skip
                            at += m
                        if not pooled:
                            put(sums[a : a + run], y[t, b, place : place + run])
                    if pooled:
                        at = row % held * size
                        put(sums, maps[at : at + size])
                    if apart and row % held == held - 1 and goal + row // held < stop:
                        to = goal + row // held
                        pool(
                            pooling, to, to + 1, to * held, maps, columns, outs, windows,
                            all_outs, lead, y[t, b],
                        )  # fmt: skip
                if pooled and not apart:
                    pool(
                        pooling, goal, stop, begin, maps, columns, outs, windows, all_outs, lead,
                        y[t, b],
                    )  # fmt: skip
            for a in range(0, whole, run):
                place = (begin * columns + a // outs) * all_outs + lead
                put(vs[a : a + run], v[b, place : place + run])
                if synapse:
                    put(cs[a : a + run], i[b, place : place + run])

    return native(block)
