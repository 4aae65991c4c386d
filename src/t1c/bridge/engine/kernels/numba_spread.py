"""Sums that inputs add to one after another, for CPUs: convolutions of any kind, and products."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .compiled import compiled
from .vector_sums import add_run

Array = npt.NDArray[Any]


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
                            add_run(y, to, count, weight, at, value)


@compiled
def meeting(
    k: int, inputs: int, outputs: int, stride: int, padding: int, dilation: int, transposed: bool
) -> tuple[int, int, int, int, int]:
    """Along one axis, which inputs element ``k`` of the kernel brings to which outputs.

    Returns:
        (how many, the first input, from one to the next, the first output, from one to the next).
    """
    over = k * dilation - padding
    # Of what is strided, the first and the last place that the other side reaches.
    many, whole = (inputs, outputs) if transposed else (outputs, inputs)
    first = max(0, -(over // stride))
    count = max(0, min(many, (whole - 1 - over) // stride + 1) - first)
    if transposed:
        return count, first, 1, first * stride + over, stride
    return count, first * stride + over, stride, first, 1


@compiled
def planes(
    first: int,
    last: int,
    transposed: bool,
    groups: int,
    outs: int,
    x: Array,
    weight: Array,
    bias: Array,
    g: Array,
    y: Array,
) -> None:
    """The same for groups of few outputs, of which each is a plane: ``first`` to ``last`` of all.

    Args:
        first: the first plane.
        last: the one after the last.
        transposed: the stride is that of outputs.
        groups: of channels.
        outs: outputs of a group.
        x: (B, C * places).
        weight: (C * kernel * outs,).
        bias: (groups * outs,).
        g: as ``spread`` takes it.
        y: (B * groups * outs * places,).
    """
    places, window, reach = g[0] * g[1] * g[2], g[6] * g[7] * g[8], g[3] * g[4] * g[5]
    own = x.shape[1] // places // groups
    for piece in range(first, last):
        b, lead = piece // (groups * outs), piece % (groups * outs)
        group, out = lead // outs, lead % outs
        plane = y[piece * reach : piece * reach + reach]
        plane[:] = bias[lead]
        for c in range(group * own, group * own + own):
            of = x[b, c * places : c * places + places]
            for k in range(window):
                # Of a transposed kernel the last element meets the first input.
                element = window - 1 - k if transposed else k
                w = weight[(c * window + element) * outs + out]
                ki, kj, kl = element // (g[7] * g[8]), element // g[8] % g[7], element % g[8]
                ni, i, di, oi, ei = meeting(ki, g[0], g[3], g[9], g[12], g[15], transposed)
                nj, j, dj, oj, ej = meeting(kj, g[1], g[4], g[10], g[13], g[16], transposed)
                nl, l0, dl, ol, el = meeting(kl, g[2], g[5], g[11], g[14], g[17], transposed)
                if nl < 1:
                    continue
                for a in range(ni):
                    for e in range(nj):
                        start = ((i + a * di) * g[1] + j + e * dj) * g[2] + l0
                        to = ((oi + a * ei) * g[4] + oj + e * ej) * g[5] + ol
                        if dl == 1 and el == 1:
                            xs, ys = of[start : start + nl], plane[to : to + nl]
                            for n in range(nl):
                                ys[n] = ys[n] + w * xs[n] if xs[n] != 0 else ys[n]
                        else:
                            for n in range(nl):
                                value = of[start + n * dl]
                                if value != 0:
                                    plane[to + n * el] += w * value


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
