"""A list of instructions carried out step by step for every sample, for CPUs.

A loop of a graph, or one step of a whole graph, is many small operations of which each takes less
time than calling it. Here they are rows of a table, walked by one compiled function.

A value is a place: an address, how far apart two steps lie, how far apart two samples lie, and how
many elements one has. Every sample is worked by itself from the first step to the last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir as llvm  # type: ignore[import-untyped]
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from .compiled import compiled
from .numba_events import active
from .numba_scan import (
    NO_FIRE,
    SUBTRACT,
    ZERO,
    Array,
    membrane,
)

COPY, ADD, SCALE, AFFINE, NEURON = range(5)
WIDTH = 12
"""Columns of an instruction: its code, the places of result and operand, and what else it takes."""


def _pointer(context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], llvm.IntType(8).as_pointer())

    return types.voidptr(address), generate


pointer: Any = intrinsic(_pointer)


@compiled
def at(addresses: Array, places: Array, place: int, t: int, b: int, like: Array) -> Array:
    """The elements of a place, at one step of one sample."""
    where = addresses[place] + (t * places[place, 0] + b * places[place, 1]) * like.itemsize
    found: Array = carray(pointer(where), (places[place, 2],), like.dtype)
    return found


@compiled
def add_rows(row: Array, index: Array, weight: Array, sums: Array) -> None:
    """Add to ``sums`` the rows of ``weight`` (in, out) that ``row`` is not zero at, times it."""
    size = len(sums)
    n = active(row, index)
    k = 0
    while k + 4 <= n:
        i0, i1, i2, i3 = index[k], index[k + 1], index[k + 2], index[k + 3]
        w0, w1, w2, w3 = weight[i0], weight[i1], weight[i2], weight[i3]
        a0, a1, a2, a3 = row[i0], row[i1], row[i2], row[i3]
        for j in range(size):
            sums[j] += (a0 * w0[j] + a1 * w1[j]) + (a2 * w2[j] + a3 * w3[j])
        k += 4
    while k < n:
        w0, a0 = weight[index[k]], row[index[k]]
        for j in range(size):
            sums[j] += a0 * w0[j]
        k += 1


@compiled
def advance(
    reset: int, early: bool, strict: bool, x: Array, v: Array, c: Array, y: Array, constants: Array
) -> None:
    """One step of neurons that ``x`` drives: membranes in place, outputs into ``y``."""
    zero, one = constants[0], constants[1]
    n, period = len(x), c.shape[1]
    a = 0
    while a < n:
        m = min(period, n - a)
        beta, gain, leak = c[0, :m], c[1, :m], c[2, :m]
        threshold, target = c[3, :m], c[4, :m]
        xs, vs, ys = x[a : a + m], v[a : a + m], y[a : a + m]
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
        a += m


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
        places: (places, 3): elements from step to step, from sample to sample, size.
        constants: zero and one, in the dtype of all values.
    """
    longest = 1
    for p in range(len(places)):
        longest = max(longest, places[p, 2])
    index = np.empty(longest + 1, np.int32)
    sums = np.empty(longest, constants.dtype)
    for b in range(first, last):
        for t in range(steps):
            for o in range(len(program)):
                code = program[o, 0]
                y = at(addresses, places, program[o, 1], t, b, constants)
                x = at(addresses, places, program[o, 2], t, b, constants)
                size = len(y)
                if code == COPY:
                    for k in range(size):
                        y[k] = x[k]
                elif code == ADD:
                    for k in range(size):
                        y[k] = y[k] + x[k]
                elif code == SCALE:
                    factor = at(addresses, places, program[o, 3], 0, 0, constants)
                    for k in range(size):
                        y[k] = factor[k] * x[k]
                elif code == AFFINE:
                    weight = at(addresses, places, program[o, 3], 0, 0, constants)
                    s = sums[:size]
                    if program[o, 4] >= 0:
                        s[:] = at(addresses, places, program[o, 4], 0, 0, constants)
                    else:
                        s[:] = constants[0]
                    add_rows(x, index, weight.reshape(program[o, 5], size), s)
                    for k in range(size):
                        y[k] = s[k]
                else:
                    v = at(addresses, places, program[o, 3], t, b, constants)
                    period = program[o, 6]
                    c = at(addresses, places, program[o, 5], 0, 0, constants).reshape(7, period)
                    if program[o, 10] != 0:
                        i = at(addresses, places, program[o, 4], t, b, constants)
                        for k in range(size):
                            i[k] = c[5, k % period] * i[k] + c[6, k % period] * x[k]
                        x = i
                    reset, early, strict = program[o, 7], program[o, 8] != 0, program[o, 9] != 0
                    advance(reset, early, strict, x, v, c, y, constants)
