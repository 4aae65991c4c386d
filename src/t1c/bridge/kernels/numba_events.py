"""Weighted sums over what fires, for CPUs: only rows of active inputs are added up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .compiled import compiled

Array = npt.NDArray[Any]


@compiled
def count(x: Array, step: int) -> tuple[int, int]:
    """(elements that are not zero, elements looked at) in every ``step``-th row of ``x`` (M, N)."""
    found, rows = 0, 0
    for m in range(0, x.shape[0], step):
        row = x[m]
        n = 0
        for j in range(len(row)):
            n += row[j] != 0
        found += n
        rows += 1
    return found, rows * x.shape[1]


@compiled
def active(row: Array, index: Array) -> int:
    """Write where ``row`` is not zero into ``index``; how many places that are."""
    n = 0
    for j in range(len(row)):
        # No branch: at 10 % it would be guessed wrong too often.
        index[n] = j
        n += row[j] != 0
    return n


@compiled
def add_rows(
    row: Array, index: Array, n: int, weight: Array, outs: int, start: int, sums: Array
) -> None:
    """Add to ``sums`` the ``n`` rows of a weight that ``index`` names, each times its input.

    Four are added in one pass over ``sums``, which saves loads and stores of it.

    Args:
        row: the inputs (in,).
        index: which of them are active.
        n: how many that are.
        weight: (in * out,), flat: its slices are known to be runs of memory.
        outs: the length of its rows.
        start: where the part of them begins that is added up.
        sums: that part.
    """
    size = len(sums)
    k = 0
    while k + 4 <= n:
        i0, i1, i2, i3 = index[k], index[k + 1], index[k + 2], index[k + 3]
        at0, at1, at2, at3 = (
            i0 * outs + start,
            i1 * outs + start,
            i2 * outs + start,
            i3 * outs + start,
        )
        w0, w1 = weight[at0 : at0 + size], weight[at1 : at1 + size]
        w2, w3 = weight[at2 : at2 + size], weight[at3 : at3 + size]
        a0, a1, a2, a3 = row[i0], row[i1], row[i2], row[i3]
        if a0 == 1 and a1 == 1 and a2 == 1 and a3 == 1:
            for j in range(size):
                sums[j] += (w0[j] + w1[j]) + (w2[j] + w3[j])
        else:
            for j in range(size):
                sums[j] += (a0 * w0[j] + a1 * w1[j]) + (a2 * w2[j] + a3 * w3[j])
        k += 4
    while k < n:
        i0 = index[k]
        at0 = i0 * outs + start
        w0, a0 = weight[at0 : at0 + size], row[i0]
        for j in range(size):
            sums[j] += a0 * w0[j]
        k += 1


@compiled
def affine(first: int, last: int, x: Array, weight: Array, bias: Array, y: Array) -> None:
    """Rows ``first`` to ``last`` of ``y = x @ weight + bias``; ``weight`` is (in * out,)."""
    index = np.empty(x.shape[1] + 1, np.int32)
    outs = y.shape[1]
    sums = np.empty(outs, y.dtype)
    for m in range(first, last):
        n = active(x[m], index)
        sums[:] = bias
        add_rows(x[m], index, n, weight, outs, 0, sums)
        y[m] = sums


@compiled
def pack(first: int, last: int, x: Array, bits: Array, plain: Array) -> None:
    """Where rows ``first`` to ``last`` of ``x`` (M, N) are not zero, as bits (M, N / 8 rounded up).

    ``plain`` (1,) becomes false if anything but 0 and 1 is met, which bits cannot tell.
    """
    size = x.shape[1]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for m in range(first, last):
        row, out = x[m], bits[m]
        odd = 0
        for j in range(len(out)):
            byte = np.uint8(0)
            for k in range(8):
                at = 8 * j + k
                if at < size:
                    a = row[at]
                    byte |= np.uint8(a != zero) << np.uint8(k)
                    odd += a != zero and a != one
            out[j] = byte
        if odd:
            plain[0] = False


@compiled
def unpack(first: int, last: int, bits: Array, x: Array) -> None:
    """Rows ``first`` to ``last`` of what ``pack`` packed."""
    for m in range(first, last):
        row, own = x[m], bits[m]
        for j in range(len(row)):
            row[j] = (own[j >> 3] >> (j & 7)) & 1


@compiled
def affine_gradient(first: int, last: int, x: Array, g: Array, gw: Array) -> None:
    """Columns ``first`` to ``last`` of ``gw = x.T @ g``, the gradient of the weight (in, out).

    Rows are taken in blocks that stay in the cache; those in which an input is active are added up.
    """
    block = 128
    total, inputs = len(g), len(gw)
    size = last - first
    starts = np.empty(inputs + 1, np.int64)
    places = np.empty(block * inputs + 1, np.int32)
    sums = np.empty(size, g.dtype)
    gw[:, first:last] = 0
    for begin in range(0, total, block):
        end = min(begin + block, total)
        rows = x[begin:end]
        # The rows in which each input is active, one input after another.
        counts = np.zeros(inputs, np.int64)
        for m in range(end - begin):
            row = rows[m]
            for i in range(inputs):
                counts[i] += row[i] != 0
        starts[0] = 0
        for i in range(inputs):
            starts[i + 1] = starts[i] + counts[i]
        counts[:] = starts[:-1]
        for m in range(end - begin):
            row = rows[m]
            for i in range(inputs):
                if row[i] != 0:
                    places[counts[i]] = m
                    counts[i] += 1
        for i in range(inputs):
            k, n = starts[i], starts[i + 1]
            if k == n:
                continue
            sums[:] = gw[i, first:last]
            while k + 4 <= n:
                m0, m1, m2, m3 = places[k], places[k + 1], places[k + 2], places[k + 3]
                g0, g1 = g[begin + m0, first:last], g[begin + m1, first:last]
                g2, g3 = g[begin + m2, first:last], g[begin + m3, first:last]
                a0, a1, a2, a3 = rows[m0, i], rows[m1, i], rows[m2, i], rows[m3, i]
                for j in range(size):
                    sums[j] += (a0 * g0[j] + a1 * g1[j]) + (a2 * g2[j] + a3 * g3[j])
                k += 4
            while k < n:
                g0, a0 = g[begin + places[k], first:last], rows[places[k], i]
                for j in range(size):
                    sums[j] += a0 * g0[j]
                k += 1
            gw[i, first:last] = sums
