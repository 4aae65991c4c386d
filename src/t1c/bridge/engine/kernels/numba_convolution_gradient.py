"""The gradient of a convolution's weight, added up where inputs fired, for CPUs.

The gradients of a sample's sums are laid out as the input lies, with a border that kernels reach
into: what an element of the kernel meets is then one list of pixels, moved, and the sum over it
stays in registers.
"""

from __future__ import annotations

import numpy as np

from .compiled import Array, compiled
from .vector_sums import add_rows, trailing_zeros


@compiled
def note_pixels(
    bits: Array, at: int, height: int, width: int, channels: int, above: int, before: int,
    counts: Array, places: Array,
) -> None:  # fmt: skip
    """Write down for each channel of a map the pixels where it fires.

    Args:
        bits: (pixels, channels / 8 rounded up) of all maps.
        at: the first pixel.
        height: of the map.
        width: of the map.
        channels: of the map.
        above: rows of the border.
        before: columns of the border.
        counts: (channels,) takes how many there are.
        places: (channels * height * width,) takes their places in the map with its border.
    """
    counts[:] = 0
    pixels = height * width
    for row in range(height):
        for column in range(width):
            place = (row + above) * (width + before) + column + before
            own = bits[at + row * width + column]
            for j in range(len(own)):
                byte = np.uint64(own[j])
                while byte != 0:
                    channel = 8 * j + trailing_zeros(byte)
                    places[channel * pixels + counts[channel]] = place
                    counts[channel] += 1
                    byte &= byte - np.uint64(1)


@compiled
def lay_gradients(
    gy: Array, z: Array, normed: bool, fold: Array, writes: bool, lead: int, outs: int,
    geometry: Array, height: int, width: int, factors: Array, centres: Array, scales: Array,
    shifts: Array, line: Array, grid: Array,
) -> None:  # fmt: skip
    """Take the gradients of a sample's sums through the norm, and lay them out.

    Args:
        gy: gradients of what the norm gives, flat; of what it is given then, if ``writes``.
        z: what it is given.
        normed: there is a norm.
        fold: (4, out): the norm backwards; see ``trained.Norm.back``.
        writes: into ``gy``.
        lead: the first channel of outputs.
        outs: how many.
        geometry: see ``Convolution``.
        height: of the grid.
        width: of the grid; 0: nothing is laid out.
        factors: room for ``outs`` numbers, as have the four after it.
        centres: likewise.
        scales: likewise.
        shifts: likewise.
        line: likewise.
        grid: takes them.
    """
    rows, columns, all_outs = geometry[0], geometry[1], geometry[2]
    down, right, top, before = geometry[5], geometry[6], geometry[7], geometry[8]
    above, aside = geometry[9] * (geometry[3] - 1), geometry[10] * (geometry[4] - 1)
    if normed:
        for k in range(outs):
            factors[k], centres[k] = fold[0, lead + k], fold[1, lead + k]
            scales[k], shifts[k] = fold[2, lead + k], fold[3, lead + k]
    for row in range(rows):
        r = row * down - top + above
        for column in range(columns):
            place = (row * columns + column) * all_outs + lead
            gs = gy[place : place + outs]
            if normed:
                zs = z[place : place + outs]
                for k in range(outs):
                    line[k] = factors[k] * gs[k] + ((zs[k] - centres[k]) * scales[k] + shifts[k])
                if writes:
                    gs[:] = line[:outs]
                gs = line[:outs]
            p = column * right - before + aside
            if 0 <= r < height and 0 <= p < width:
                to = (r * width + p) * outs
                grid[to : to + outs] = gs


@compiled
def convolution_gradient(
    first: int, last: int, tile: int, parts: int, writes: bool, adds: bool, bits: Array, gy: Array,
    z: Array, fold: Array, geometry: Array, gw: Array,
) -> None:  # fmt: skip
    """Pieces ``first`` to ``last`` of the gradient of a weight.

    Args:
        first: a piece is one of ``parts`` of the samples, and ``tile`` channels of the outputs.
        last: the one after the last.
        tile: channels.
        parts: of the samples.
        writes: what the norm makes of gradients is written into ``gy``.
        adds: the weight's gradient is wanted.
        bits: (samples * pixels, channels / 8 rounded up) where inputs fire.
        gy: (samples, map) gradients of the sums, or of what a norm makes of them.
        z: (samples, map) the sums, where there is a norm.
        fold: (groups, 4, out), for as many groups of samples; empty: there is no norm.
        geometry: see ``Convolution``.
        gw: (parts, kH * kW * in * out,) takes the gradients, each tile of outputs by itself.
    """
    all_outs, high, wide = geometry[2], geometry[3], geometry[4]
    down, across = geometry[9], geometry[10]
    channels, rows, columns = geometry[11], geometry[12], geometry[13]
    above, before = down * (high - 1), across * (wide - 1)
    height, width = rows + above, columns + before
    if not adds:
        height, width = 0, 0
    pixels, samples, most = rows * columns, len(gy), min(tile, all_outs)
    grid = np.zeros(height * width * most, gy.dtype)
    counts, places = np.empty(channels, np.int64), np.empty(channels * pixels + 8, np.int32)
    factors, centres = np.empty(most, gy.dtype), np.empty(most, gy.dtype)
    scales, shifts, line = (
        np.empty(most, gy.dtype), np.empty(most, gy.dtype), np.empty(most, gy.dtype),
    )  # fmt: skip
    for piece in range(first, last):
        lead, part = piece // parts * tile, piece % parts
        outs = min(tile, all_outs - lead)
        if outs < most:
            grid[:] = 0
        sums, base = gw[part], lead * high * wide * channels
        if adds:
            sums[base : base + outs * high * wide * channels] = 0
        for m in range(samples * part // parts, samples * (part + 1) // parts):
            lay_gradients(
                gy[m], z[m], fold.size > 0, fold[m * len(fold) // samples], writes, lead, outs,
                geometry, height, width, factors, centres, scales, shifts, line, grid,
            )  # fmt: skip
            if not adds:
                continue
            note_pixels(bits, m * pixels, rows, columns, channels, above, before, counts, places)
            for c in range(channels):
                begin, end = c * pixels, c * pixels + counts[c]
                for kr in range(high):
                    for kc in range(wide):
                        to = base + ((kr * wide + kc) * channels + c) * outs
                        start = -(kr * down * width + kc * across) * outs
                        add_rows(
                            sums, to, outs, sums, to, grid, start, outs, places, begin, end, False
                        )
