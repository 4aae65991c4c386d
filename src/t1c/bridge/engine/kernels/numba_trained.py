"""What stands behind a convolution, backwards: pool, neuron and norm as one loop, for CPUs.

The convolution's sums are all that is kept. A patch of a map that fits the first-level cache is
walked through all steps once more, as it was, and then back: potentials never leave the caches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .compiled import compiled, inlined
from .numba_backward import walk_back
from .numba_convolution import MAX, MEAN, NO_POOL
from .numba_scan import HOLD, Array, membrane, sent
from .vector_sums import add_rows
from .vector_windows import unpool_window


@compiled
def take(
    x: Array, above: int, start: int, lead: int, columns: int, all_outs: int, wide: int, outs: int,
    n: int, patch: Array,
) -> None:  # fmt: skip
    """Copy a patch out of a map.

    Args:
        x: the map, channels last, flat.
        above: the patch's first row.
        start: its first column.
        lead: its first channel.
        columns: of the map.
        all_outs: channels of the map.
        wide: columns of the patch.
        outs: channels of the patch.
        n: elements of the patch.
        patch: takes them.
    """
    run = wide * outs if outs == all_outs else outs
    for a in range(0, n, run):
        pixel = a // outs
        place = ((above + pixel // wide) * columns + start + pixel % wide) * all_outs + lead
        own, there = patch[a : a + run], x[place : place + run]
        for k in range(run):
            own[k] = there[k]


@compiled
def put(
    patch: Array, above: int, start: int, lead: int, columns: int, all_outs: int, wide: int,
    outs: int, n: int, x: Array,
) -> None:  # fmt: skip
    """Copy a patch back into a map; see ``take``."""
    run = wide * outs if outs == all_outs else outs
    for a in range(0, n, run):
        pixel = a // outs
        place = ((above + pixel // wide) * columns + start + pixel % wide) * all_outs + lead
        own, there = patch[a : a + run], x[place : place + run]
        for k in range(run):
            there[k] = own[k]


@compiled
def take_periodic(
    c: Array, above: int, start: int, lead: int, columns: int, all_outs: int, wide: int, outs: int,
    n: int, patch: Array,
) -> None:  # fmt: skip
    """The same of coefficients, of which the map's element k has number k modulo their count."""
    period = len(c)
    for a in range(0, n, outs):
        pixel = a // outs
        place = ((above + pixel // wide) * columns + start + pixel % wide) * all_outs + lead
        at = 0
        while at < outs:
            p = (place + at) % period
            m = min(outs - at, period - p)
            own, there = patch[a + at : a + at + m], c[p : p + m]
            for k in range(m):
                own[k] = there[k]
            at += m


@inlined
def keep(patch: Array, n: int, kept: Array, at: int) -> None:
    """Copy a patch to ``kept[at:]``."""
    there = kept[at : at + n]
    for k in range(n):
        there[k] = patch[k]


@inlined
def recall(kept: Array, at: int, n: int, patch: Array) -> None:
    """Copy it back."""
    there = kept[at : at + n]
    for k in range(n):
        patch[k] = there[k]


@compiled
def repeat(row: Array, lead: int, outs: int, n: int, patch: Array) -> None:
    """Lay ``outs`` numbers of channels over every pixel of a patch."""
    for a in range(0, n, outs):
        own, there = patch[a : a + outs], row[lead : lead + outs]
        for k in range(outs):
            own[k] = there[k]


@compiled
def unpool(
    kind: int, g: Array, at: int, all_outs: int, wide: int, goals: int, tall: int, across: int,
    right: int, outs: int, spikes: Array, n: int, gs: Array,
) -> None:  # fmt: skip
    """Gradients of what entered a row of windows.

    Args:
        kind: MAX or MEAN.
        g: gradients of what came out, flat.
        at: where the first of them is.
        all_outs: from one to the next.
        wide: columns of the patch.
        goals: windows side by side in it.
        tall: rows of a window.
        across: columns of a window.
        right: from one window to the next.
        outs: channels.
        spikes: what entered.
        n: elements of the patch.
        gs: takes the gradients.
    """
    for k in range(n):
        gs[k] = 0
    area = g.dtype.type(tall * across)
    for goal in range(goals):
        at_window, given = goal * right * outs, at + goal * all_outs
        unpool_window(
            gs,
            at_window,
            outs,
            spikes,
            g,
            given,
            tall,
            across,
            wide * outs,
            outs,
            kind == MEAN,
            area,
        )


@functools.cache
def behind_kernel(
    reset: int, early: bool, many: bool = False, bounded: bool = False
) -> Callable[..., None]:
    """The loop for a reset.

    A piece of work is a band of rows of one sample, as high as a window is apart from the next;
    ``patch`` windows of it, and ``tile`` channels, are walked through time together.

    Takes the sums ``z`` (T, B, map), gradients ``g`` of what comes out, and ``gi`` and ``gv`` of
    the states after the last step, which become those of the states before the first. Writes the
    gradients of what the neuron is given, behind the norm, into ``gy``; of each piece, group of
    statistics and channel their sum into ``sums`` (pieces, groups, 2, out), and their sum times
    what the norm was given less ``centre``; and, if ``learning``, gradients of coefficients into
    ``gc`` (8, N).
    """

    def behind(  # pragma: no cover - compiled
        first: int,
        last: int,
        bands: int,
        tile: int,
        patch: int,
        strict: bool,
        synapse: bool,
        kind: int,
        detach: bool,
        learning: bool,
        z: Array,
        norm: Array,
        centre: Array,
        rows: int,
        columns: int,
        all_outs: int,
        i0: Array,
        v0: Array,
        c: Array,
        pooling: int,
        windows: Array,
        g: Array,
        gi: Array,
        gv: Array,
        gy: Array,
        gc: Array,
        sums: Array,
        constants: Array,
    ) -> None:
        steps, groups, whole, fresh = len(z), sums.shape[1], rows * columns * all_outs, z.dtype
        zero, one = constants[0], constants[1]
        normed, pooled = norm.size > 0, pooling != NO_POOL
        tall, across, down, right, goal_columns = 1, 1, 1, 1, columns
        if pooled:
            tall, across, down, right = windows[0], windows[1], windows[2], windows[3]
            goal_columns = windows[5]
        # The last band and the last patch also have what no window looks at.
        tallest = max(down, rows - (bands - 1) * down)
        widest = patch * right + max(0, columns - goal_columns * right)
        most = tallest * widest * min(tile, all_outs)
        # Local arrays: the compiler must see that nothing overlaps.
        beta, gain, leak = np.empty(most, fresh), np.empty(most, fresh), np.empty(most, fresh)
        threshold, target = np.empty(most, fresh), np.empty(most, fresh)
        v_min, centres = np.empty(most, fresh), np.empty(most, fresh)
        alpha, weight = np.empty(most, fresh), np.empty(most, fresh)
        factors, shifts = np.empty(most, fresh), np.empty(most, fresh)
        vs, gvs, cs, gis = (
            np.empty(most, fresh), np.empty(most, fresh), np.empty(most, fresh),
            np.empty(most, fresh),
        )  # fmt: skip
        us, hs, xs, gs = (
            np.empty(most, fresh), np.empty(most, fresh), np.empty(most, fresh),
            np.empty(most, fresh),
        )  # fmt: skip
        gds, gts, gas, gms = (
            np.empty(most, fresh), np.empty(most, fresh), np.empty(most, fresh),
            np.empty(most, fresh),
        )  # fmt: skip
        starts, spikes = np.empty(most, fresh), np.empty(most, fresh)
        # Where no gradient flows through a reset it is multiplied by zero: no garbage.
        slope, slope_due = np.empty(most, fresh), np.zeros(most, fresh)
        left, zeros, near = np.empty(tile, fresh), np.zeros(tile, fresh), np.empty(most, fresh)
        pixels = np.arange(most).astype(np.int32)
        learnt = np.empty((8, most if learning else 0), fresh)
        carried, tested = np.empty(steps * most, fresh), np.empty(steps * most, fresh)
        held = np.empty(steps * most if reset == HOLD else 0, fresh)
        currents = np.empty((steps + 1) * most if synapse else 0, fresh)
        for piece in range(first, last):
            b, band = piece // bands, piece % bands
            above = band * down
            below = rows if band == bands - 1 else above + down
            for number in range(-(-goal_columns // patch) * -(-all_outs // tile)):
                goal = number // -(-all_outs // tile) * patch
                lead = number % -(-all_outs // tile) * tile
                goals, start = min(patch, goal_columns - goal), goal * right
                stop = columns if goal + goals == goal_columns else start + goals * right
                wide, outs = stop - start, min(tile, all_outs - lead)
                n = (below - above) * wide * outs
                here = above, start, lead, columns, all_outs, wide, outs, n
                take(v0[b], *here, vs)
                take(gv[b], *here, gvs)
                if synapse:
                    take(i0[b], *here, cs)
                    take(gi[b], *here, gis)
                    take_periodic(c[5], *here, alpha)
                    take_periodic(c[6], *here, weight)
                    keep(cs, n, currents, 0)
                take_periodic(c[0], *here, beta)
                take_periodic(c[1], *here, gain)
                take_periodic(c[2], *here, leak)
                take_periodic(c[3], *here, threshold)
                take_periodic(c[3], *here, centres)
                take_periodic(c[4], *here, target)
                take_periodic(c[7], *here, v_min)
                for t in range(steps):
                    take(z[t, b], *here, xs)
                    if normed:
                        if t < len(norm):
                            repeat(norm[t, 0], lead, outs, n, factors)
                            repeat(norm[t, 1], lead, outs, n, shifts)
                        for k in range(n):
                            xs[k] = xs[k] * factors[k] + shifts[k]
                    if synapse:
                        for k in range(n):
                            cs[k] = alpha[k] * cs[k] + weight[k] * xs[k]
                            xs[k] = cs[k]
                        keep(cs, n, currents, (t + 1) * n)
                    keep(vs, n, carried, t * n)
                    for k in range(n):
                        drive = gain[k] * xs[k] + leak[k]
                        _, vs[k], us[k], hs[k] = membrane(
                            reset, early, strict, many, bounded, vs[k], drive,
                            beta[k], threshold[k], target[k], v_min[k], zero, one,
                        )  # fmt: skip
                    keep(us, n, tested, t * n)
                    if reset == HOLD:
                        keep(hs, n, held, t * n)
                if learning:
                    learnt[:, :n] = 0
                for t in range(steps - 1, -1, -1):
                    recall(tested, t * n, n, us)
                    recall(carried, t * n, n, vs)
                    if reset == HOLD:
                        recall(held, t * n, n, hs)
                    if pooled:
                        if pooling == MAX:
                            for k in range(n):
                                spikes[k] = sent(us[k], threshold[k], strict, many, zero, one)
                        unpool(
                            pooling, g[t, b], (band * goal_columns + goal) * all_outs + lead,
                            all_outs, wide, goals, tall, across, right, outs, spikes, n, gs,
                        )  # fmt: skip
                    else:
                        take(g[t, b], *here, gs)
                    walk_back(
                        reset, early, strict, many, bounded, kind, detach, n, gs, gvs, vs, us, hs,
                        beta, threshold, target, v_min, centres, slope, slope_due,
                        gds, gts, gas, gms, starts, constants,
                    )  # fmt: skip
                    if normed or learning:
                        take(z[t, b], *here, xs)
                    if synapse:
                        for k in range(n):
                            gis[k] = gis[k] + gds[k] * gain[k]
                            gs[k] = gis[k] * weight[k]
                    else:
                        for k in range(n):
                            gs[k] = gds[k] * gain[k]
                    put(gs, *here, gy[t, b])
                    s = t if groups > 1 else 0
                    add_rows(left, 0, outs, zeros, 0, gs, 0, outs, pixels, 0, n // outs, False)
                    for k in range(outs):
                        sums[piece, s, 0, lead + k] += left[k]
                    if normed:
                        if groups > 1 or t == steps - 1:
                            repeat(centre[s], lead, outs, n, near)
                        for k in range(n):
                            slope[k] = gs[k] * (xs[k] - near[k])
                        add_rows(
                            left, 0, outs, zeros, 0, slope, 0, outs, pixels, 0, n // outs, False
                        )
                        for k in range(outs):
                            sums[piece, s, 1, lead + k] += left[k]
                    if learning:
                        if normed:
                            if groups > 1:
                                repeat(norm[t, 0], lead, outs, n, factors)
                                repeat(norm[t, 1], lead, outs, n, shifts)
                            for k in range(n):
                                xs[k] = xs[k] * factors[k] + shifts[k]
                        for k in range(n):
                            learnt[0, k] += gds[k] * starts[k]
                            learnt[2, k] += gds[k]
                            learnt[3, k] += gts[k]
                            learnt[4, k] += gas[k]
                            learnt[7, k] += gms[k]
                        if synapse:
                            for k in range(n):
                                learnt[5, k] += gis[k] * currents[t * n + k]
                                learnt[6, k] += gis[k] * xs[k]
                                learnt[1, k] += gds[k] * currents[(t + 1) * n + k]
                        else:
                            for k in range(n):
                                learnt[1, k] += gds[k] * xs[k]
                    if synapse:
                        for k in range(n):
                            gis[k] = gis[k] * alpha[k]
                put(gvs, *here, gv[b])
                if synapse:
                    put(gis, *here, gi[b])
                for q in range(8 if learning else 0):
                    put(learnt[q], *here, gc[q, b * whole : (b + 1) * whole])

    return compiled(behind)
