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
        weight: (in * kH * kW * out,), the columns of the kernel in reverse.
        sums: (rows * columns * out,), channels last.
        g: the geometry: rows, columns, out, kH, kW, strides, paddings, dilations.
    """
    rows, columns, outs, high, wide = g[0], g[1], g[2], g[3], g[4]
    down, right, top, left, reach_down, reach_right = g[5], g[6], g[7], g[8], g[9], g[10]
    plain = down == 1 and right == 1 and reach_right == 1
    n = active(row, index)
    for e in range(n):
        k = index[e]
        a = row[k]
        c, y, x = places[k, 0], places[k, 1] + top, places[k, 2] + left
        # Columns x - kW + 1 to x of the map, clipped at its borders.
        begin, end = max(x - wide + 1, 0), min(x + 1, columns)
        run = (end - begin) * outs
        skip = (begin - (x - wide + 1)) * outs
        for dy in range(high):
            at = y - dy * reach_down
            if at < 0 or at % down != 0 or at // down >= rows:
                continue
            at = at // down
            of = (c * high + dy) * wide * outs
            if plain:
                of += skip
                to = (at * columns + begin) * outs
                # Slices: an index that may count from the end keeps a loop from being vectorised.
                s, w = sums[to : to + run], weight[of : of + run]
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
                start = of + dx * outs
                s, w = sums[to : to + outs], weight[start : start + outs]
                for j in range(outs):
                    s[j] += a * w[j]


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
            ys = y[to : to + outs]
            for dy in range(high):
                for dx in range(wide):
                    of = ((r * down + dy) * columns + c * right + dx) * outs
                    s = sums[of : of + outs]
                    if dy == 0 and dx == 0:
                        for j in range(outs):
                            ys[j] = s[j]
                    elif kind == MAX:
                        for j in range(outs):
                            ys[j] = max(ys[j], s[j])
                    else:
                        for j in range(outs):
                            ys[j] += s[j]
            if kind == MEAN:
                for j in range(outs):
                    ys[j] = ys[j] / area


@functools.cache
def block_kernel(reset: int, early: bool) -> Callable[..., None]:
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
        index = np.empty(x.shape[2] + 1, np.int32)
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
                        threshold, target = c[3, :n], c[4, :n]
                        ss, ms = sums[a : a + n], vs[a : a + n]
                        if synapse:
                            alpha, w, ns = c[5, :n], c[6, :n], cs[a : a + n]
                            for k in range(n):
                                ns[k] = alpha[k] * ns[k] + w[k] * ss[k]
                                ss[k] = ns[k]
                        for k in range(n):
                            drive = gain[k] * ss[k] + leak[k]
                            ss[k], ms[k], _, _ = membrane(
                                reset,
                                early,
                                strict,
                                ms[k],
                                drive,
                                beta[k],
                                threshold[k],
                                target[k],
                                zero,
                                one,
                            )
                if pooling == NO_POOL:
                    y[t, b, :] = sums
                else:
                    pool(pooling, sums, columns, outs, windows, y[t, b])
            if reset != NO_NEURON:
                v[b, :] = vs
                if synapse:
                    i[b, :] = cs

    return compiled(block)
