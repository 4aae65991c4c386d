"""Sums that inputs add to one after another, for CPUs: convolutions of any kind, and products."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .compiled import compiled
from .vector_sums import add_run

Array = npt.NDArray[Any]
FEW = 8
"""Outputs of a group up to which a vector is not worth its masks."""


@compiled
def reached(at: int, k: int, stride: int, padding: int, dilation: int, transposed: bool) -> int:
    """Which output an input at ``at`` reaches through element ``k`` of the kernel; -1: none."""
    if transposed:
        return at * stride - padding + k * dilation
    over = at + padding - k * dilation
    return over // stride if over >= 0 and over % stride == 0 else -1


@compiled
def spread(
    first: int,
    last: int,
    parts: int,
    part: int,
    transposed: bool,
    groups: int,
    outs: int,
    x: Array,
    weight: Array,
    bias: Array,
    g: Array,
    y: Array,
) -> None:
    """Samples, groups and parts of a group's outputs, numbered ``first`` to ``last``.

    Args:
        first: the first of them.
        last: the one after the last.
        parts: into how many the outputs of a group are cut.
        part: how many outputs one has.
        transposed: the stride is that of outputs.
        groups: of channels.
        outs: outputs of a group.
        x: (B, C * places).
        weight: (C * kernel * outs,).
        bias: (groups * outs,).
        g: along three axes each: inputs, outputs, kernel, stride, padding, dilation.
        y: (B * places * groups * outs,).
    """
    places, window, reach = g[0] * g[1] * g[2], g[6] * g[7] * g[8], g[3] * g[4] * g[5]
    own = x.shape[1] // places // groups
    wide = groups * outs
    for piece in range(first, last):
        b, group, begin = piece // (groups * parts), piece // parts % groups, piece % parts * part
        count = min(part, outs - begin)
        lead = group * outs + begin
        start = b * reach * wide + lead
        for o in range(reach):
            y[start + o * wide : start + o * wide + count] = bias[lead : lead + count]
        for c in range(group * own, group * own + own):
            for place in range(places):
                value = x[b, c * places + place]
                if value == 0:
                    continue
                i, j, k = place // (g[1] * g[2]), place // g[2] % g[1], place % g[2]
                for ki in range(g[6]):
                    oi = reached(i, ki, g[9], g[12], g[15], transposed)
                    if oi < 0 or oi >= g[3]:
                        continue
                    for kj in range(g[7]):
                        oj = reached(j, kj, g[10], g[13], g[16], transposed)
                        if oj < 0 or oj >= g[4]:
                            continue
                        for kl in range(g[8]):
                            ol = reached(k, kl, g[11], g[14], g[17], transposed)
                            if ol < 0 or ol >= g[5]:
                                continue
                            to = start + ((oi * g[4] + oj) * g[5] + ol) * wide
                            element = (ki * g[7] + kj) * g[8] + kl
                            at = (c * window + element) * outs + begin
                            if count < FEW:
                                for q in range(count):
                                    y[to + q] += value * weight[at + q]
                            else:
                                add_run(y, to, count, weight, at, value)


@compiled
def matrices(first: int, last: int, a: Array, b: Array, y: Array) -> None:
    """Rows ``first`` to ``last`` of all products of ``a`` (N, n, k) and ``b`` (N, k, m)."""
    rows = a.shape[1]
    for row in range(first, last):
        left, right, sums = a[row // rows, row % rows], b[row // rows], y[row // rows, row % rows]
        sums[:] = 0
        for k in range(len(left)):
            factor, own = left[k], right[k]
            for j in range(len(sums)):
                sums[j] += factor * own[j]
