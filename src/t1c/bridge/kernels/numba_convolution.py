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
from .numba_events import active
from .numba_scan import Array, membrane

NO_POOL, MAX, MEAN = range(3)
NO_NEURON = -1


@compiled
def scatter(row: Array, index: Array, places: Array, weight: Array, sums: Array, g: Array) -> None:
    """Add up the patches of all active inputs of ``row``.

    Args:
        row: the input map, flat.
        index: room for as many integers, and one more.
        places: (elements of the map, 3): channel, row and column of each.
        weight: (in, kH, kW, out), the columns of the kernel in reverse.
        sums: (rows * columns * out,), channels last.
        g: the geometry: rows, columns, out, kH, kW, strides, paddings, dilations.
    """
    rows, columns, outs, high, wide = g[0], g[1], g[2], g[3], g[4]
    down, right, top, left, reach_down, reach_right = g[5], g[6], g[7], g[8], g[9], g[10]
    plain = down == 1 and right == 1 and reach_down == 1 and reach_right == 1
    n = active(row, index)
    for e in range(n):
        k = index[e]
        a = row[k]
        c, y, x = places[k, 0], places[k, 1] + top, places[k, 2] + left
        patch = weight[c]
        for dy in range(high):
            at = y - dy * reach_down
            if at < 0 or at % down != 0 or at // down >= rows:
                continue
            at = at // down
            if plain:
                # Columns x - kW + 1 to x of the map, clipped at its borders.
                begin, end = max(x - wide + 1, 0), min(x + 1, columns)
                run = (end - begin) * outs
                if run <= 0:
                    continue
                skip = (begin - (x - wide + 1)) * outs
                to = (at * columns + begin) * outs
                w = patch[dy].ravel()[skip : skip + run]
                s = sums[to : to + run]
                if a == 1:
                    for j in range(run):
                        s[j] += w[j]
                else:
                    for j in range(run):
                        s[j] += a * w[j]
                continue
            for dx in range(wide):
                column = x - (wide - 1 - dx) * reach_right
                if column < 0 or column % right != 0 or column // right >= columns:
                    continue
                to = (at * columns + column // right) * outs
                w = patch[dy, dx]
                s = sums[to : to + outs]
                for j in range(outs):
                    s[j] += a * w[j]


@compiled
def pool(kind: int, sums: Array, rows: int, columns: int, outs: int, q: Array, y: Array) -> None:
    """Pool a map (rows * columns * outs,) into ``y``; ``q``: window, strides, pooled rows, columns.

    The order of additions in a mean is that of torch: along the rows of a window.
    """
    high, wide, down, right, pooled_rows, pooled_columns = q[0], q[1], q[2], q[3], q[4], q[5]
    for r in range(pooled_rows):
        for c in range(pooled_columns):
            to = (r * pooled_columns + c) * outs
            ys = y[to : to + outs]
            start = (r * down * columns + c * right) * outs
            ys[:] = sums[start : start + outs]
            for dy in range(high):
                for dx in range(wide):
                    if dy == 0 and dx == 0:
                        continue
                    at = ((r * down + dy) * columns + c * right + dx) * outs
                    s = sums[at : at + outs]
                    if kind == MAX:
                        for j in range(outs):
                            ys[j] = max(ys[j], s[j])
                    else:
                        for j in range(outs):
                            ys[j] += s[j]
            if kind == MEAN:
                for j in range(outs):
                    ys[j] = ys[j] / y.dtype.type(high * wide)


@functools.cache
def block_kernel(reset: int, early: bool) -> Callable[..., None]:
    """The loop for a reset; ``NO_NEURON``: the convolution alone."""

    def block(
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
        index = np.empty(x.shape[2] + 1, np.int32)
        sums = np.empty(size, x.dtype)
        for b in range(first, last):
            for t in range(steps):
                for k in range(rows * columns):
                    sums[k * outs : (k + 1) * outs] = bias
                scatter(x[t, b], index, places, weight, sums, geometry)
                if reset != NO_NEURON:
                    a = 0
                    while a < size:
                        p = a % period
                        n = min(size - a, period - p)
                        beta, gain, leak = c[0, p : p + n], c[1, p : p + n], c[2, p : p + n]
                        threshold, target = c[3, p : p + n], c[4, p : p + n]
                        s, vs = sums[a : a + n], v[b, a : a + n]
                        if synapse:
                            alpha, w, cs = c[5, p : p + n], c[6, p : p + n], i[b, a : a + n]
                            for k in range(n):
                                cs[k] = alpha[k] * cs[k] + w[k] * s[k]
                                s[k] = cs[k]
                        for k in range(n):
                            drive = gain[k] * s[k] + leak[k]
                            s[k], vs[k], _, _ = membrane(
                                reset,
                                early,
                                strict,
                                vs[k],
                                drive,
                                beta[k],
                                threshold[k],
                                target[k],
                                zero,
                                one,
                            )
                        a += n
                if pooling == NO_POOL:
                    y[t, b, :] = sums
                else:
                    pool(pooling, sums, rows, columns, outs, windows, y[t, b])

    return compiled(block)
