"""A list of instructions carried out step by step for every sample, for CPUs.

A loop of a graph, or one step of a whole graph, is many small operations of which each takes less
time than calling it. Here they are rows of a table, walked by one compiled function.

How a neuron takes a step is not written here: its loop is generated from its definition.

A value is a place: an address, how far apart two steps lie, and how many elements a sample has;
samples lie side by side. A block of them is worked from the first step to the last.
"""

from __future__ import annotations

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from .compiled import Array, compiled
from .instructions import (
    ADD,
    AFFINE,
    AS_IT_IS,
    BY_INPUT,
    COPY,
    ELEMENTS,
    EXPAND,
    INTO,
    PART,
    SCALE,
    SHIFT,
    SPREAD,
)
from .numba_calls import WALK, pointer, walk, work_elements
from .numba_columns import sums_of_columns
from .numba_events import room_for, weighted_sums

ROOM = 2048
"""Elements of the largest value that are worked side by side."""
INSIDE = 2**14
"""Elements of all values that nobody else sees, likewise: they stay in the cache."""


@compiled
def carry_out(
    first: int,
    last: int,
    steps: int,
    program: Array,
    addresses: Array,
    places: Array,
    empty: Array,
    elements: int,
) -> None:
    """All steps of samples ``first`` to ``last``.

    Args:
        first: the first sample.
        last: the one after the last.
        steps: how many.
        program: (instructions, WIDTH): code, result, operand, and by code: COPY, ADD: nothing
            more; SCALE: place of the factors; AFFINE: places of weight and bias, the number of
            inputs, and how the weight lies (see ``instructions``); NEURON: places of v, i and
            coefficients, their period, the addresses of its generated loop and of that one's
            numbers, and whether it has a synapse;
            PART: where in each sample of the operand it begins; INTO: where in each sample of the
            result the operand ends up; EXPAND: nothing more, of an operand that is one number;
            SHIFT: nothing more: the result loses its first elements, and gets the operand behind
            the others; from ELEMENTS on: two more operands. SPREAD stands behind all others, and
            is worked before the first step: each sample gets the operand.
        addresses: (places,).
        places: (places, 3): elements from step to step, size of a sample, and where it begins
            among the values that nobody else sees; -1 for the others, which have an address.
        empty: an array of nothing, of the dtype of all values.
        elements: where the function is that works operations element by element.
    """
    longest, room = 1, 0
    for p in range(len(places)):
        longest = max(longest, places[p, 1])
        if places[p, 2] >= 0:
            room = max(room, places[p, 2] + places[p, 1])
    none = np.zeros(longest, empty.dtype)
    # As many samples side by side as fit the first-level cache a few times over; all of them where
    # a weight is read as it is, which then streams through the cache once.
    as_it_is = np.any((program[:, 0] == AFFINE) & (program[:, 6] != BY_INPUT))
    block = min(max(1, ROOM // longest), max(1, INSIDE // max(1, room)), last - first)
    block = last - first if as_it_is else block
    rows, index, ends, plain = room_for(block, longest)
    kind, item = empty.dtype, empty.itemsize
    inside, vectors = np.empty(block * room, kind), np.empty(4, np.int64)
    hidden = inside.ctypes.data
    table = np.empty(WALK, np.int64)
    for o in range(len(program)):
        if program[o, 0] == SPREAD:
            size = places[program[o, 1], 1]
            y = inside[places[program[o, 1], 2] * block :][: block * size]
            x = carray(pointer(addresses[program[o, 2]]), (size,), kind)
            for s in range(block):
                for k in range(size):
                    y[s * size + k] = x[k]
    rows_of_steps = len(program) - np.sum(program[:, 0] == SPREAD)
    for b in range(first, last, block):
        samples = min(block, last - b)
        for t in range(steps):
            for o in range(rows_of_steps):
                code, to, of = program[o, 0], program[o, 1], program[o, 2]
                size, width = places[to, 1], places[of, 1]
                if code >= ELEMENTS:
                    for p in range(4):
                        q = program[o, 1 + p]
                        if places[q, 2] >= 0:
                            vectors[p] = hidden + places[q, 2] * block * item
                        else:
                            vectors[p] = addresses[q] + (t * places[q, 0] + b * size) * item
                    work_elements(
                        elements, code - ELEMENTS, samples * size,
                        vectors[0], vectors[1], vectors[2], vectors[3],
                    )  # fmt: skip
                    continue
                if places[to, 2] >= 0:
                    y = inside[places[to, 2] * block :][: samples * size]
                else:
                    start = addresses[to] + (t * places[to, 0] + b * size) * item
                    y = carray(pointer(start), (samples * size,), kind)
                if places[of, 2] >= 0:
                    x = inside[places[of, 2] * block :][: samples * width]
                else:
                    start = addresses[of] + (t * places[of, 0] + b * width) * item
                    x = carray(pointer(start), (samples * width,), kind)
                if code == COPY:
                    for k in range(len(y)):
                        y[k] = x[k]
                elif code == ADD:
                    for k in range(len(y)):
                        y[k] = y[k] + x[k]
                elif code == PART:
                    for s in range(samples):
                        whole, part = x[s * width + program[o, 3] :], y[s * size :][:size]
                        for k in range(size):
                            part[k] = whole[k]
                elif code == INTO:
                    for s in range(samples):
                        whole, part = y[s * size + program[o, 3] :], x[s * width :][:width]
                        for k in range(width):
                            whole[k] = part[k]
                elif code == EXPAND:
                    for s in range(samples):
                        whole, one = y[s * size :][:size], x[s]
                        for k in range(size):
                            whole[k] = one
                elif code == SHIFT:
                    for s in range(samples):
                        line, added = y[s * size :][:size], x[s * width :][:width]
                        for k in range(size - width):
                            line[k] = line[k + width]
                        end = line[size - width :]
                        for k in range(width):
                            end[k] = added[k]
                elif code == SCALE:
                    factor = carray(pointer(addresses[program[o, 3]]), (size,), kind)
                    for s in range(samples):
                        for k in range(size):
                            y[s * size + k] = factor[k] * x[s * size + k]
                elif code == AFFINE:
                    w = carray(pointer(addresses[program[o, 3]]), (width * size,), kind)
                    bias = none[:size]
                    if program[o, 4] >= 0:
                        bias = carray(pointer(addresses[program[o, 4]]), (size,), kind)
                    for m in range(0, samples, rows):
                        n = min(rows, samples - m)
                        if program[o, 6] != BY_INPUT:
                            sums_of_columns(
                                x[m * width :], n, width, w, bias, y[m * size :],
                                program[o, 6] == AS_IT_IS, index, ends, plain,
                            )  # fmt: skip
                            continue
                        weighted_sums(
                            x, m * width, width, n, width, w, False, bias,
                            y, m * size, size, 0, size, index, ends, plain,
                        )  # fmt: skip
                else:
                    # One step of its loop; its states lie in two places.
                    states = addresses[program[o, 3]] + b * size * item
                    apart = 0
                    if program[o, 9] != 0:
                        current = addresses[program[o, 4]] + b * size * item
                        states, apart = current, (states - current) // item
                    walk(
                        program[o, 7], table, 0, samples * size, 1, program[o, 8],
                        addresses[program[o, 5]], program[o, 6], states, apart,
                        x.ctypes.data, 0, y.ctypes.data, 0,
                    )  # fmt: skip
