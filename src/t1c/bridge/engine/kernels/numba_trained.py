"""What stands behind a convolution, backwards: pool, neuron and norm as one loop, for CPUs.

The convolution's sums are all that is kept. A patch of a map that fits the caches is walked
through all steps once more, as it was, and then back: potentials never leave them. How a neuron
walks is not written here: its loop, and the one back, are generated from its definition.
"""

from __future__ import annotations

import numpy as np

from .compiled import Array, compiled
from .generated.llvm_source import HEAD
from .numba_calls import say, work_loop
from .numba_convolution import MEAN, NO_POOL
from .vector_sums import add_rows
from .vector_windows import unpool_window

INPUTS, GRADS, FOUND, OWN = range(4)
"""Rows of all steps of a patch: what the neuron is given, gradients of what it sends, gradients of
what it is given, and from here on what its loop writes."""


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


@compiled
def behind(
    first: int,
    last: int,
    bands: int,
    tile: int,
    patch: int,
    z: Array,
    norm: Array,
    centre: Array,
    rows: int,
    columns: int,
    all_outs: int,
    before: Array,
    c: Array,
    pooling: int,
    windows: Array,
    g: Array,
    g_state: Array,
    gy: Array,
    gc: Array,
    sums: Array,
    loops: Array,
    places: Array,
    numbers: Array,
    numbers_back: Array,
) -> None:
    """Back through pool, neuron and norm.

    A piece of work is a band of rows of one sample, as high as a window is apart from the next;
    ``patch`` windows of it, and ``tile`` channels, are walked through time together.

    Args:
        first: the first piece.
        last: the one after the last.
        bands: pieces of a sample.
        tile: channels that are walked together.
        patch: windows side by side that are.
        z: the convolution's sums (T, B, map).
        norm: factors and shifts (steps or 1 or 0, 2, out).
        centre: means (groups, out).
        rows: of the map.
        columns: of it.
        all_outs: its channels.
        before: the states before the first step (states, B, map).
        c: coefficients (8, period).
        pooling: MAX, MEAN or NO_POOL.
        windows: rows and columns of a window, from one to the next, and of what comes out.
        g: gradients of what comes out (T, B, what comes out).
        g_state: of the states after the last step (states, B, map), which become those of the
            states before the first.
        gy: takes the gradients of what the norm gives (T, B, map).
        gc: takes those of coefficients (8, N), if they are wanted; else it is smaller.
        sums: of each piece, group of statistics and channel take the sum of ``gy``, and that of its
            products with what the norm was given less ``centre`` (pieces, groups, 2, out).
        loops: addresses of the neuron's loop and of the one back.
        places: which rows of all steps these loops read and write: the number of those that the
            first writes, which are from ``OWN`` on; of them that of the spikes, or -1; and what
            the loop back reads.
        numbers: zero, one and those of the loop.
        numbers_back: those of the loop back.
    """
    steps, groups, whole, fresh = len(z), sums.shape[1], rows * columns * all_outs, z.dtype
    states, learning = len(before), gc.shape[0] == len(c)
    normed, pooled = norm.size > 0, pooling != NO_POOL
    tall, across, down, right, goal_columns = 1, 1, 1, 1, columns
    if pooled:
        tall, across, down, right = windows[0], windows[1], windows[2], windows[3]
        goal_columns = windows[5]
    # The last band and the last patch also have what no window looks at.
    tallest = max(down, rows - (bands - 1) * down)
    widest = patch * right + max(0, columns - goal_columns * right)
    most = tallest * widest * min(tile, all_outs)
    wrote, fired, reads = places[0], places[1], places[2:]
    held = np.empty((OWN + wrote, steps * most), fresh)
    inputs, grads, found = held[INPUTS], held[GRADS], held[FOUND]
    laid, learnt = np.empty(8 * most, fresh), np.empty(8 * most if learning else 0, fresh)
    carried = np.empty(states * most, fresh)
    factors, shifts = np.empty(most, fresh), np.empty(most, fresh)
    products, near = np.empty(most, fresh), np.empty(most, fresh)
    left, zeros = np.empty(tile, fresh), np.zeros(tile, fresh)
    pixels = np.arange(most).astype(np.int32)
    table, back = (
        np.empty(HEAD + 2 * (1 + wrote), np.int64),
        np.empty(HEAD + 2 * (len(reads) + 1), np.int64),
    )
    table[HEAD] = inputs.ctypes.data
    for a in range(wrote):
        table[HEAD + 2 * (1 + a)] = held[OWN + a].ctypes.data
    for a in range(len(reads)):
        back[HEAD + 2 * a] = held[reads[a]].ctypes.data
    back[HEAD + 2 * len(reads)] = found.ctypes.data
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
            for s in range(states):
                take(before[s, b], *here, carried[s * n : (s + 1) * n])
            for q in range(8):
                take_periodic(c[q], *here, laid[q * n : (q + 1) * n])
            for t in range(steps):
                own = inputs[t * n : (t + 1) * n]
                take(z[t, b], *here, own)
                if normed:
                    if t < len(norm):
                        repeat(norm[t, 0], lead, outs, n, factors)
                        repeat(norm[t, 1], lead, outs, n, shifts)
                    for k in range(n):
                        own[k] = own[k] * factors[k] + shifts[k]
            for a in range(1 + wrote):
                table[HEAD + 2 * a + 1] = n
            say(
                table, steps, numbers.ctypes.data, laid.ctypes.data, n, carried.ctypes.data, n, 0
            )  # fmt: skip
            work_loop(loops[0], 0, n, table.ctypes.data)
            for t in range(steps):
                own = grads[t * n : (t + 1) * n]
                if pooled:
                    spikes = held[OWN + fired, t * n : (t + 1) * n] if fired >= 0 else own
                    unpool(
                        pooling, g[t, b], (band * goal_columns + goal) * all_outs + lead,
                        all_outs, wide, goals, tall, across, right, outs, spikes, n, own,
                    )  # fmt: skip
                else:
                    take(g[t, b], *here, own)
            for s in range(states):
                take(g_state[s, b], *here, carried[s * n : (s + 1) * n])
            for a in range(len(reads) + 1):
                back[HEAD + 2 * a + 1] = n
            say(
                back, steps, numbers_back.ctypes.data, laid.ctypes.data, n, carried.ctypes.data, n,
                learnt.ctypes.data,
            )  # fmt: skip
            work_loop(loops[1], 0, n, back.ctypes.data)
            for s in range(states):
                put(carried[s * n : (s + 1) * n], *here, g_state[s, b])
            for q in range(8 if learning else 0):
                put(learnt[q * n : (q + 1) * n], *here, gc[q, b * whole : (b + 1) * whole])
            for t in range(steps - 1, -1, -1):
                own, s = found[t * n : (t + 1) * n], t if groups > 1 else 0
                put(own, *here, gy[t, b])
                add_rows(left, 0, outs, zeros, 0, own, 0, outs, pixels, 0, n // outs, False)
                for k in range(outs):
                    sums[piece, s, 0, lead + k] += left[k]
                if normed:
                    if groups > 1 or t == steps - 1:
                        repeat(centre[s], lead, outs, n, near)
                    take(z[t, b], *here, products)
                    for k in range(n):
                        products[k] = own[k] * (products[k] - near[k])
                    add_rows(
                        left, 0, outs, zeros, 0, products, 0, outs, pixels, 0, n // outs, False
                    )
                    for k in range(outs):
                        sums[piece, s, 1, lead + k] += left[k]
