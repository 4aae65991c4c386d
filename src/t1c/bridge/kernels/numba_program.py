"""A list of instructions carried out step by step for every sample, for CPUs.

A loop of a graph, or one step of a whole graph, is many small operations of which each takes less
time than calling it. Here they are rows of a table, walked by one compiled function.

A value is a place: an address, how far apart two steps lie, and how many elements a sample has;
samples lie side by side. A block of them is worked from the first step to the last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir as llvm  # type: ignore[import-untyped]
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from .compiled import compiled
from .instructions import ADD, AFFINE, COPY, SCALE
from .numba_events import active, add_rows
from .numba_scan import (
    NO_FIRE,
    SUBTRACT,
    ZERO,
    Array,
    membrane,
)

ROOM = 2048
"""Elements of the largest value that are worked side by side."""
SHORT = 128
"""Rows of a weight up to this are added one by one."""


def _pointer(context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], llvm.IntType(8).as_pointer())

    return types.voidptr(address), generate


pointer: Any = intrinsic(_pointer)


@compiled
def add_short_rows(x: Array, width: int, weight: Array, size: int, y: Array) -> None:
    """The same for several samples, where rows are so short that gathering them takes longer."""
    for s in range(len(x) // width):
        row, sums = x[s * width : (s + 1) * width], y[s * size : (s + 1) * size]
        for i in range(width):
            a = row[i]
            if a != 0:
                w = weight[i * size : (i + 1) * size]
                for j in range(size):
                    sums[j] += a * w[j]


@compiled
def advance(
    reset: int, early: bool, strict: bool, x: Array, v: Array, c: Array, y: Array, constants: Array
) -> None:
    """One step of neurons that ``x`` drives: membranes in place, outputs into ``y``."""
    zero, one = constants[0], constants[1]
    period = c.shape[1]
    for a in range(0, len(x), period):
        m = min(period, len(x) - a)
        beta, gain, leak = c[0, :m], c[1, :m], c[2, :m]
        threshold, target = c[3, :m], c[4, :m]
        xs, ys = x[a : a + m], y[a : a + m]
        # A copy: the compiler must see that nothing overlaps.
        vs = v[a : a + m].copy()
        # The commonest neurons by themselves: the compiler then knows their options.
        if reset == ZERO and not early:
            for k in range(m):
                d = gain[k] * xs[k] + leak[k]
                ys[k], vs[k], _, _ = membrane(
                    ZERO, False, strict, vs[k], d, beta[k], threshold[k], target[k], zero, one
                )
        elif reset == SUBTRACT and early:
            for k in range(m):
                d = gain[k] * xs[k] + leak[k]
                ys[k], vs[k], _, _ = membrane(
                    SUBTRACT, True, strict, vs[k], d, beta[k], threshold[k], target[k], zero, one
                )
        elif reset == NO_FIRE:
            for k in range(m):
                vs[k] = beta[k] * vs[k] + (gain[k] * xs[k] + leak[k])
                ys[k] = vs[k]
        else:
            for k in range(m):
                d = gain[k] * xs[k] + leak[k]
                ys[k], vs[k], _, _ = membrane(
                    reset, early, strict, vs[k], d, beta[k], threshold[k], target[k], zero, one
                )
        v[a : a + m] = vs


@compiled
def filter_current(x: Array, i: Array, c: Array) -> None:
    """One step of synapses that ``x`` drives: currents in place."""
    period = c.shape[1]
    for a in range(0, len(x), period):
        m = min(period, len(x) - a)
        for k in range(m):
            i[a + k] = c[5, k] * i[a + k] + c[6, k] * x[a + k]


@compiled
def carry_out(
    first: int,
    last: int,
    steps: int,
    program: Array,
    addresses: Array,
    places: Array,
    constants: Array,
) -> None:
    """All steps of samples ``first`` to ``last``.

    Args:
        first: the first sample.
        last: the one after the last.
        steps: how many.
        program: (instructions, WIDTH): code, result, operand, and by code: COPY, ADD: nothing
            more; SCALE: place of the factors; AFFINE: places of weight and bias, and the number
            of inputs; NEURON: places of v, i and coefficients, their period, and the rule.
        addresses: (places,).
        places: (places, 2): elements from step to step, and size of a sample.
        constants: zero and one, in the dtype of all values.
    """
    longest = 1
    for p in range(len(places)):
        longest = max(longest, places[p, 1])
    index = np.empty(longest + 1, np.int32)
    # As many samples side by side as fit the first-level cache a few times over.
    block = max(1, ROOM // longest)
    kind, item = constants.dtype, constants.itemsize
    for b in range(first, last, block):
        samples = min(block, last - b)
        for t in range(steps):
            for o in range(len(program)):
                code, to, of = program[o, 0], program[o, 1], program[o, 2]
                size, width = places[to, 1], places[of, 1]
                start = addresses[to] + (t * places[to, 0] + b * size) * item
                y = carray(pointer(start), (samples * size,), kind)
                start = addresses[of] + (t * places[of, 0] + b * width) * item
                x = carray(pointer(start), (samples * width,), kind)
                if code == COPY:
                    y[:] = x
                elif code == ADD:
                    for k in range(len(y)):
                        y[k] = y[k] + x[k]
                elif code == SCALE:
                    factor = carray(pointer(addresses[program[o, 3]]), (size,), kind)
                    for s in range(samples):
                        for k in range(size):
                            y[s * size + k] = factor[k] * x[s * size + k]
                elif code == AFFINE:
                    w = carray(pointer(addresses[program[o, 3]]), (width * size,), kind)
                    if program[o, 4] >= 0:
                        bias = carray(pointer(addresses[program[o, 4]]), (size,), kind)
                        for s in range(samples):
                            sums = y[s * size : (s + 1) * size]
                            for k in range(size):
                                sums[k] = bias[k]
                    else:
                        y[:] = constants[0]
                    if size <= SHORT:
                        add_short_rows(x, width, w, size, y)
                        continue
                    for s in range(samples):
                        row = x[s * width : (s + 1) * width]
                        n = active(row, index)
                        add_rows(row, index, n, w, size, 0, y[s * size : (s + 1) * size])
                else:
                    start = addresses[program[o, 3]] + b * size * item
                    v = carray(pointer(start), (samples * size,), kind)
                    c = carray(pointer(addresses[program[o, 5]]), (7, program[o, 6]), kind)
                    if program[o, 10] != 0:
                        start = addresses[program[o, 4]] + b * size * item
                        i = carray(pointer(start), (samples * size,), kind)
                        filter_current(x, i, c)
                        x = i
                    reset, early, strict = program[o, 7], program[o, 8] != 0, program[o, 9] != 0
                    advance(reset, early, strict, x, v, c, y, constants)
