"""A convolution over what fires, and what stands behind it up to the pool, as one loop, for CPUs.

Maps lie channels last, so that for each input the weights to all outputs are one run of memory.
What is active in a row of the input is written down once, in order; what an output sees of a row is
a part of that list, and its sum over all of it stays in registers. While a row of sums is in the
cache, it is normalised, what comes another way is added, and the membranes take their step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .compiled import compiled
from .numba_scan import Array, membrane
from .vector_sums import active, add_graded_rows, add_rows
from .vector_windows import pool_window

NO_POOL, MAX, MEAN = range(3)
NO_NEURON = -1
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
    bias: Array,
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
        weight: (kH * kW * in * out,).
        bias: (out,).
        sums: (columns * out,).
        g: the geometry; see ``Convolution``.
    """
    columns, outs, high, wide = g[1], g[2], g[3], g[4]
    down, right, top, left, reach_down, reach_right = g[5], g[6], g[7], g[8], g[9], g[10]
    channels, height, width = g[11], g[12], g[13]
    # A column of the kernel meets the next pixel: what lies side by side is added in one go.
    together = wide if reach_right == 1 else 1
    for column in range(columns):
        to = column * outs
        base, of = bias, 0
        for kr in range(high):
            r = row * down - top + kr * reach_down
            if r < 0 or r >= height:
                continue
            for kc in range(0, wide, together):
                p = column * right - left + kc * reach_right
                begin, end = max(p, 0), min(p + together, width)
                if begin >= end:
                    continue
                start = (kr * wide + kc - p) * channels * outs
                first, last = starts[r - above, begin], starts[r - above, end]
                if ones[r - above]:
                    add_rows(
                        sums, to, outs, base, of, weight, start, outs, index, first, last, False
                    )
                else:
                    add_graded_rows(
                        sums, to, outs, base, of, weight, start, outs, index, first, last,
                        x, r * width * channels, 1,
                    )  # fmt: skip
                base, of = sums, to
        if base is bias:
            sums[to : to + outs] = bias


@compiled
def pool(
    kind: int, first: int, last: int, above: int, maps: Array, columns: int, outs: int, q: Array,
    y: Array,
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
        y: what comes out.
    """
    high, wide, down, right, pooled_columns = q[0], q[1], q[2], q[3], q[5]
    area = y.dtype.type(high * wide)
    # The order of additions in a mean is that of torch: along the rows of a window.
    for r in range(first, last):
        for c in range(pooled_columns):
            to = (r * pooled_columns + c) * outs
            at = ((r * down - above) * columns + c * right) * outs
            row = columns * outs
            pool_window(y, to, outs, maps, at, high, wide, row, outs, kind == MEAN, area)


@functools.cache
def block_kernel(
    reset: int, early: bool, many: bool = False, bounded: bool = False
) -> Callable[..., None]:
    """The loop for a reset; ``NO_NEURON``: none behind the convolution.

    A piece of work is a band of rows of one sample, through all steps.
    """

    def block(  # pragma: no cover - compiled
        first: int,
        last: int,
        bands: int,
        strict: bool,
        synapse: bool,
        x: Array,
        weight: Array,
        bias: Array,
        norm: Array,
        beside: Array,
        geometry: Array,
        i: Array,
        v: Array,
        c: Array,
        pooling: int,
        windows: Array,
        y: Array,
        constants: Array,
    ) -> None:
        steps, period = x.shape[0], c.shape[1]
        rows, columns, outs, high = geometry[0], geometry[1], geometry[2], geometry[3]
        down, top, reach_down = geometry[5], geometry[7], geometry[9]
        channels, height, width = geometry[11], geometry[12], geometry[13]
        zero, one = constants[0], constants[1]
        size = columns * outs
        pooled = pooling != NO_POOL
        goals = windows[4] if pooled else rows
        # Local arrays: the compiler must see that nothing overlaps.
        sums, factors, shifts = (
            np.empty(size, x.dtype), np.empty(size, x.dtype), np.empty(size, x.dtype)
        )  # fmt: skip
        normed, added = norm.size > 0, beside.size > 0
        if normed:
            for k in range(size):
                factors[k], shifts[k] = norm[0, k % outs], norm[1, k % outs]
        for piece in range(first, last):
            b, band = piece // bands, piece % bands
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
            above = max(begin * down - top, 0)
            below = min((end - 1) * down - top + (high - 1) * reach_down + 1, height)
            seen = max(below - above, 0)
            index = np.empty(seen * width * channels + 8, np.int32)
            starts, ones = np.empty((seen, width + 1), np.int64), np.empty(seen, np.bool_)
            maps = np.empty(tall * size if pooled else 0, x.dtype)
            vs = np.empty(tall * size if reset != NO_NEURON else 0, x.dtype)
            cs = np.empty(tall * size if synapse else 0, x.dtype)
            if reset != NO_NEURON:
                vs[:] = v[b, begin * size : end * size]
                if synapse:
                    cs[:] = i[b, begin * size : end * size]
            for t in range(steps):
                n = 0
                for r in range(seen):
                    n, plain = note_row(
                        x[t, b], (above + r) * width * channels, width, channels, index,
                        starts[r], n,
                    )  # fmt: skip
                    ones[r] = plain
                for row in range(tall):
                    gather(
                        begin + row, x[t, b], index, starts, ones, above, weight, bias, sums,
                        geometry,
                    )  # fmt: skip
                    place = (begin + row) * size
                    if normed:
                        for k in range(size):
                            sums[k] = sums[k] * factors[k] + shifts[k]
                    if added:
                        others = beside[t, b, place : place + size]
                        for k in range(size):
                            sums[k] = sums[k] + others[k]
                    if reset != NO_NEURON:
                        a = 0
                        while a < size:
                            p = (place + a) % period
                            m = min(size - a, period - p)
                            beta, gain, leak = c[0, p : p + m], c[1, p : p + m], c[2, p : p + m]
                            threshold, target = c[3, p : p + m], c[4, p : p + m]
                            v_min = c[7, p : p + m]
                            ss, ms = sums[a : a + m], vs[row * size + a : row * size + a + m]
                            if synapse:
                                alpha, w = c[5, p : p + m], c[6, p : p + m]
                                ns = cs[row * size + a : row * size + a + m]
                                for k in range(m):
                                    ns[k] = alpha[k] * ns[k] + w[k] * ss[k]
                                    ss[k] = ns[k]
                            for k in range(m):
                                drive = gain[k] * ss[k] + leak[k]
                                ss[k], ms[k], _, _ = membrane(
                                    reset,
                                    early,
                                    strict,
                                    many,
                                    bounded,
                                    ms[k],
                                    drive,
                                    beta[k],
                                    threshold[k],
                                    target[k],
                                    v_min[k],
                                    zero,
                                    one,
                                )
                            a += m
                    if pooled:
                        maps[row * size : row * size + size] = sums
                    else:
                        y[t, b, place : place + size] = sums
                if pooled:
                    pool(pooling, goal, stop, begin, maps, columns, outs, windows, y[t, b])
            if reset != NO_NEURON:
                v[b, begin * size : end * size] = vs
                if synapse:
                    i[b, begin * size : end * size] = cs

    return compiled(block)
