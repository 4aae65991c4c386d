"""Weighted sums over what fires, for CPUs: only rows of active inputs are added up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .compiled import compiled
from .vector_bits import mask_eight, mask_few
from .vector_sums import BITS, active, add_graded_rows, add_rows
from .vectors import LANES

Array = npt.NDArray[Any]
TILE = 256
"""Bytes of a row of a weight that are worked at once: what fits the registers."""
BLOCK = 128
"""Rows of which it is noted where an input is active: as many as a byte tells apart."""
ROWS, ROOM = 64, 2**18
"""Inputs that are worked at once at most, and elements of them."""


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
def weighted_sums(
    x: Array,
    at: int,
    step: int,
    rows: int,
    width: int,
    weight: Array,
    tiled: bool,
    bias: Array,
    y: Array,
    to: int,
    down: int,
    begin: int,
    end: int,
    index: Array,
    ends: Array,
    plain: Array,
) -> None:
    """Weighted sums of ``rows`` inputs, of which only the active ones are looked at.

    One tile of columns is worked for all rows before the next: its weights stay in the cache.

    Args:
        x: the inputs, flat.
        at: where the first row of them is.
        step: from row to row.
        rows: how many.
        width: elements of a row.
        weight: (width * outs,), by rows; if ``tiled``, tile by tile.
        tiled: whether each tile of columns lies by itself.
        bias: (outs,).
        y: the sums, flat.
        to: where those of the first row are.
        down: from row to row.
        begin: the first column that is wanted, at the beginning of a tile.
        end: the one after the last.
        index: room for the places of what is active in all rows, and eight more.
        ends: room for ``rows + 1`` numbers.
        plain: room for ``rows`` flags.
    """
    tile, outs = TILE // y.itemsize, len(bias)
    ends[0] = 0
    for m in range(rows):
        ends[m + 1], plain[m] = active(x, at + m * step, width, index, ends[m])
    # A single row asks for what is next itself, for which it must see all columns.
    tile = max(1, outs) if rows == 1 and not tiled else tile
    for a in range(begin, end, tile):
        count = min(tile, end - a)
        start, stride = (a * width, min(tile, outs - a)) if tiled else (a, outs)
        for m in range(rows):
            sums, k, n = to + m * down + a, ends[m], ends[m + 1]
            if plain[m]:
                add_rows(y, sums, count, bias, a, weight, start, stride, index, k, n, rows == 1)
            else:
                of = at + m * step
                add_graded_rows(
                    y, sums, count, bias, a, weight, start, stride, index, k, n, x, of, 1
                )


@compiled
def room_for(rows: int, width: int) -> tuple[int, Array, Array, Array]:
    """How many rows are worked at once, and what ``weighted_sums`` needs for them."""
    rows = max(1, min(rows, ROWS, ROOM // max(1, width)))
    index = np.empty(rows * width + 8, np.int32)
    return rows, index, np.empty(rows + 1, np.int64), np.empty(rows, np.bool_)


@compiled
def affine(
    first: int, last: int, x: Array, weight: Array, tiled: bool, bias: Array, y: Array
) -> None:
    """Rows ``first`` to ``last`` of ``y = x @ weight + bias``; see ``weighted_sums``."""
    width, outs = x.shape[1], y.shape[1]
    of, to = x.reshape(-1), y.reshape(-1)
    rows, index, ends, plain = room_for(last - first, width)
    for m in range(first, last, rows):
        n = min(rows, last - m)
        weighted_sums(
            of, m * width, width, n, width, weight, tiled, bias,
            to, m * outs, outs, 0, outs, index, ends, plain,
        )  # fmt: skip


@compiled
def pack(first: int, last: int, x: Array, bits: Array, plain: Array) -> None:
    """Where rows ``first`` to ``last`` of ``x`` (M, N) are not zero, as bits (M, N / 8 rounded up).

    ``plain`` (1,) becomes false if anything but 0 and 1 is met, which bits cannot tell.
    """
    size, of = x.shape[1], x.reshape(-1)
    odd = False
    for m in range(first, last):
        out, at = bits[m], m * size
        for j in range(size >> 3):
            mask, ones = mask_eight(of, at + 8 * j, 8)
            out[j] = mask
            odd |= mask != ones
        if size & 7:
            mask, ones = mask_few(of, at + (size & ~7), size & 7)
            out[len(out) - 1] = mask
            odd |= mask != ones
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
def index_columns(
    first: int, last: int, x: Array, begins: Array, ends: Array, plain: Array, places: Array
) -> None:
    """Where each input is active, for blocks ``first`` to ``last`` of rows of ``x`` (M, in).

    Args:
        first: the first block of ``BLOCK`` rows.
        last: the one after the last.
        x: the inputs.
        begins: (blocks, in): where the places of an input begin in those of its block.
        ends: (blocks, in): where they end.
        plain: (blocks, in): whether all that is active is 1.
        places: (blocks, BLOCK * in): rows within the block, one input after another.
    """
    inputs, flat = x.shape[1], x.reshape(-1)
    found, index = np.zeros(BLOCK + 1, np.int64), np.empty(BLOCK * inputs + 8, np.int32)
    for b in range(first, last):
        begin, at, to, ones = b * BLOCK, ends[b], places[b], plain[b]
        rows = min(BLOCK, len(x) - begin)
        at[:] = 0
        ones[:] = True
        for m in range(rows):
            found[m + 1], same = active(flat, (begin + m) * inputs, inputs, index, found[m])
            for k in range(found[m], found[m + 1]):
                at[index[k]] += 1
                if not same and x[begin + m, index[k]] != 1:
                    ones[index[k]] = False
        n = 0
        for i in range(inputs):
            begins[b, i] = n
            n += at[i]
            at[i] = begins[b, i]
        for m in range(rows):
            for k in range(found[m], found[m + 1]):
                to[at[index[k]]] = m
                at[index[k]] += 1


@compiled
def index_bits(
    first: int, last: int, bits: Array, begins: Array, ends: Array, plain: Array, places: Array
) -> None:
    """The same of spikes that ``pack`` packed, each input in ``BLOCK`` places of its own."""
    inputs = begins.shape[1]
    for b in range(first, last):
        begin, at, to = b * BLOCK, ends[b], places[b]
        plain[b] = True
        for i in range(inputs):
            begins[b, i] = at[i] = i * BLOCK
        for m in range(min(BLOCK, len(bits) - begin)):
            row = bits[begin + m]
            for j in range(len(row)):
                mask = np.int64(row[j])
                while mask:
                    i = 8 * j + BITS[(mask & -mask) * LANES]
                    to[at[i]] = m
                    at[i] += 1
                    mask &= mask - 1


@compiled
def affine_gradient(
    first: int,
    last: int,
    x: Array,
    g: Array,
    begins: Array,
    ends: Array,
    plain: Array,
    places: Array,
    gw: Array,
) -> None:
    """Rows ``first`` to ``last`` of ``gw = x.T @ g``, the gradient of the weight (in, out).

    Of each block of rows of ``g``, a tile of columns at a time, which stays in the cache, those in
    which an input is active are added up; see ``index_columns``. ``x`` is read where it is not 1.
    """
    inputs, outs = gw.shape
    of, factors, to = g.reshape(-1), x.reshape(-1), gw.reshape(-1)
    tile = TILE // g.itemsize
    gw[first:last] = 0
    for b in range(len(begins)):
        index, begin = places[b], b * BLOCK
        for a in range(0, outs, tile):
            size = min(tile, outs - a)
            start = begin * outs + a
            for i in range(first, last):
                k, n = begins[b, i], ends[b, i]
                sums = i * outs + a
                if n == k:
                    continue
                if plain[b, i]:
                    add_rows(to, sums, size, to, sums, of, start, outs, index, k, n, False)
                else:
                    at = begin * inputs + i
                    add_graded_rows(
                        to, sums, size, to, sums, of, start, outs, index, k, n, factors, at, inputs
                    )
