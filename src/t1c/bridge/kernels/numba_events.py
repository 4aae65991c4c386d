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
def affine(first: int, last: int, x: Array, weight: Array, bias: Array, y: Array) -> None:
    """Rows ``first`` to ``last`` of ``y = x @ weight + bias``; ``weight`` is (in, out).

    Four rows of the weight are added in one pass over ``y``, which saves loads and stores of it.
    """
    size = weight.shape[1]
    index = np.empty(x.shape[1] + 1, np.int32)
    sums = np.empty(size, y.dtype)
    for m in range(first, last):
        row = x[m]
        n = active(row, index)
        sums[:] = bias
        k = 0
        while k + 4 <= n:
            i0, i1, i2, i3 = index[k], index[k + 1], index[k + 2], index[k + 3]
            w0, w1, w2, w3 = weight[i0], weight[i1], weight[i2], weight[i3]
            a0, a1, a2, a3 = row[i0], row[i1], row[i2], row[i3]
            if a0 == 1 and a1 == 1 and a2 == 1 and a3 == 1:
                for j in range(size):
                    sums[j] += (w0[j] + w1[j]) + (w2[j] + w3[j])
            else:
                for j in range(size):
                    sums[j] += (a0 * w0[j] + a1 * w1[j]) + (a2 * w2[j] + a3 * w3[j])
            k += 4
        while k < n:
            w0, a0 = weight[index[k]], row[index[k]]
            for j in range(size):
                sums[j] += a0 * w0[j]
            k += 1
        y[m] = sums


@compiled
def affine_gradient(first: int, last: int, x: Array, g: Array, gw: Array) -> None:
    """Columns ``first`` to ``last`` of ``gw = x.T @ g``, the gradient of the weight (in, out).

    Rows are taken in blocks that stay in the cache; those in which an input is active are added up.
    """
    block = 128
    rows, inputs = x.shape
    size = last - first
    starts = np.empty(inputs + 1, np.int64)
    places = np.empty(block * inputs, np.int32)
    sums = np.empty(size, g.dtype)
    gw[:, first:last] = 0
    for begin in range(0, rows, block):
        end = min(begin + block, rows)
        # The rows in which each input is active, one input after another.
        counts = np.zeros(inputs, np.int64)
        for m in range(begin, end):
            row = x[m]
            for i in range(inputs):
                counts[i] += row[i] != 0
        starts[0] = 0
        for i in range(inputs):
            starts[i + 1] = starts[i] + counts[i]
        counts[:] = starts[:-1]
        for m in range(begin, end):
            row = x[m]
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
                g0, g1, g2, g3 = (
                    g[m0, first:last],
                    g[m1, first:last],
                    g[m2, first:last],
                    g[m3, first:last],
                )
                a0, a1, a2, a3 = x[m0, i], x[m1, i], x[m2, i], x[m3, i]
                for j in range(size):
                    sums[j] += (a0 * g0[j] + a1 * g1[j]) + (a2 * g2[j] + a3 * g3[j])
                k += 4
            while k < n:
                g0, a0 = g[places[k], first:last], x[places[k], i]
                for j in range(size):
                    sums[j] += a0 * g0[j]
                k += 1
            gw[i, first:last] = sums
