"""A convolution over what fires, its neuron and the pooling behind it as one loop, for CPUs.

The patch of weights of every active input is added to a map that lies channels last, so that a row
of the patch is one run of memory; the membranes of that map then take their step, and windows are
pooled, while all of it is in the cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .compiled import compiled
from .numba_scan import Array, walk
from .vector_sums import active, add_run
from .vector_windows import pool_window

NO_POOL, MAX, MEAN = range(3)
NO_NEURON = -1


@compiled
def scatter(row: Array, index: Array, places: Array, weight: Array, sums: Array, g: Array) -> None:
    """Add up the patches of all active inputs of ``row``.

    Args:
        row: the input map, flat.
        index: room for as many integers, and eight more.
        places: (elements of the map, 3): channel, row and column of each.
        weight: (in * kH * kW * out,), the columns of the kernel in reverse.
        sums: (rows * columns * out,), channels last.
        g: the geometry: rows, columns, out, kH, kW, strides, paddings, dilations.
    """
    rows, columns, outs, high, wide = g[0], g[1], g[2], g[3], g[4]
    down, right, top, left, reach_down, reach_right = g[5], g[6], g[7], g[8], g[9], g[10]
    plain = down == 1 and right == 1 and reach_down == 1 and reach_right == 1
    n, _ = active(row, 0, len(row), index, 0)
    for e in range(n):
        k = index[e]
        a = row[k]
        c, y, x = places[k, 0], places[k, 1] + top, places[k, 2] + left
        of = c * high * wide * outs
        if plain:
            # Columns x - kW + 1 to x of rows y - kH + 1 to y, clipped at the borders of the map.
            begin, end = max(x - wide + 1, 0), min(x + 1, columns)
            run, of = (end - begin) * outs, of + (begin - (x - wide + 1)) * outs
            for at in range(max(y - high + 1, 0), min(y + 1, rows)):
                to = (at * columns + begin) * outs
                add_run(sums, to, run, weight, of + (y - at) * wide * outs, a)
            continue
        for dy in range(high):
            at = y - dy * reach_down
            if at < 0 or at % down != 0 or at // down >= rows:
                continue
            for dx in range(wide):
                column = x - (wide - 1 - dx) * reach_right
                if column < 0 or column % right != 0 or column // right >= columns:
                    continue
                to = (at // down * columns + column // right) * outs
                add_run(sums, to, outs, weight, of + (dy * wide + dx) * outs, a)


@compiled
def pool(kind: int, sums: Array, columns: int, outs: int, q: Array, y: Array) -> None:
    """Pool a map (rows * columns * outs,) into ``y``; ``q``: window, strides, pooled rows, columns.

    The order of additions in a mean is that of torch: along the rows of a window.
    """
    high, wide, down, right, pooled_rows, pooled_columns = q[0], q[1], q[2], q[3], q[4], q[5]
    area = y.dtype.type(high * wide)
    for r in range(pooled_rows):
        for c in range(pooled_columns):
            to = (r * pooled_columns + c) * outs
            at = (r * down * columns + c * right) * outs
            row = columns * outs
            pool_window(y, to, outs, sums, at, high, wide, row, outs, kind == MEAN, area)


@functools.cache
def block_kernel(
    reset: int, early: bool, many: bool = False, bounded: bool = False
) -> Callable[..., None]:
    """The loop for a reset; ``NO_NEURON``: the convolution alone."""

    def block(  # pragma: no cover - compiled
        first: int,
        last: int,
        strict: bool,
        synapse: bool,
        x: Array,
        places: Array,
        weight: Array,
        bias: Array,
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
        rows, columns, outs = geometry[0], geometry[1], geometry[2]
        size = rows * columns * outs
        zero, one = constants[0], constants[1]
        index = np.empty(x.shape[2] + 8, np.int32)
        # Local arrays: the compiler must see that nothing overlaps.
        sums, biases = np.empty(size, x.dtype), np.empty(size, x.dtype)
        vs, cs = np.zeros(size, x.dtype), np.zeros(size if synapse else 1, x.dtype)
        for k in range(size):
            biases[k] = bias[k % outs]
        for b in range(first, last):
            if reset != NO_NEURON:
                vs[:] = v[b]
                if synapse:
                    cs[:] = i[b]
            for t in range(steps):
                sums[:] = biases
                scatter(x[t, b], index, places, weight, sums, geometry)
                if reset != NO_NEURON:
                    for a in range(0, size, period):
                        n = min(size - a, period)
                        beta, gain, leak = c[0, :n], c[1, :n], c[2, :n]
                        threshold, target, v_min = c[3, :n], c[4, :n], c[7, :n]
                        ss, ms = sums[a : a + n], vs[a : a + n]
                        if synapse:
                            alpha, w, ns = c[5, :n], c[6, :n], cs[a : a + n]
                            for k in range(n):
                                ns[k] = alpha[k] * ns[k] + w[k] * ss[k]
                                ss[k] = ns[k]
                        walk(
                            reset, early, strict, many, bounded, n, ss, ss, ms,
                            beta, gain, leak, threshold, target, v_min, zero, one,
                        )  # fmt: skip
                if pooling == NO_POOL:
                    y[t, b, :] = sums
                else:
                    pool(pooling, sums, columns, outs, windows, y[t, b])
            if reset != NO_NEURON:
                v[b, :] = vs
                if synapse:
                    i[b, :] = cs

    return compiled(block)
