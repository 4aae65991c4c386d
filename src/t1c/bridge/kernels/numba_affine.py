"""A weighted sum over what fires and the neuron behind it as one loop, for CPUs.

The sum of a step never leaves the first-level cache: the membranes take their step as soon as it is
there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .compiled import compiled
from .numba_events import active, add_rows
from .numba_scan import Array, membrane


@functools.cache
def affine_kernel(reset: int, early: bool) -> Callable[..., None]:
    """The loop for a reset, over lanes: a lane is some of the neurons of one sample."""

    def affine(  # pragma: no cover - compiled
        first: int,
        last: int,
        parts: int,
        strict: bool,
        synapse: bool,
        x: Array,
        weight: Array,
        bias: Array,
        i: Array,
        v: Array,
        c: Array,
        y: Array,
        constants: Array,
    ) -> None:
        steps, period, size = x.shape[0], c.shape[1], y.shape[2]
        zero, one = constants[0], constants[1]
        part = -(-size // parts)
        index = np.empty(x.shape[2] + 1, np.int32)
        sums = np.empty(part, x.dtype)
        for lane in range(first, last):
            b, start = lane // parts, lane % parts * part
            width = min(part, size - start)
            if width <= 0:
                continue
            # Copies: the compiler must see that nothing overlaps.
            biases = bias[start : start + width].copy()
            vs, cs = v[b, start : start + width].copy(), i[b, start : start + width].copy()
            for t in range(steps):
                row = x[t, b]
                ss = sums[:width]
                ss[:] = biases
                n = active(row, index)
                add_rows(row, index, n, weight, size, start, ss)
                ys = y[t, b, start : start + width]
                a = 0
                while a < width:
                    p = (start + a) % period
                    m = min(width - a, period - p)
                    beta, gain, leak = c[0, p : p + m], c[1, p : p + m], c[2, p : p + m]
                    threshold, target = c[3, p : p + m], c[4, p : p + m]
                    s, ms, os = ss[a : a + m], vs[a : a + m], ys[a : a + m]
                    if synapse:
                        alpha, w, ns = c[5, p : p + m], c[6, p : p + m], cs[a : a + m]
                        for k in range(m):
                            ns[k] = alpha[k] * ns[k] + w[k] * s[k]
                            s[k] = ns[k]
                    for k in range(m):
                        drive = gain[k] * s[k] + leak[k]
                        os[k], ms[k], _, _ = membrane(
                            reset,
                            early,
                            strict,
                            ms[k],
                            drive,
                            beta[k],
                            threshold[k],
                            target[k],
                            zero,
                            one,
                        )
                    a += m
            v[b, start : start + width] = vs
            if synapse:
                i[b, start : start + width] = cs

    return compiled(affine)
