"""A weighted sum over what fires and the neuron behind it as one loop, for CPUs.

The sums of a few steps are worked where the spikes will be, and the membranes take these steps
while they are in the cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .compiled import compiled
from .numba_events import room_for, weighted_sums
from .numba_scan import Array, membrane


@functools.cache
def affine_kernel(
    reset: int, early: bool, many: bool = False, bounded: bool = False
) -> Callable[..., None]:
    """The loop for a reset, over lanes: ``group`` samples, or ``part`` of the neurons of one."""

    def affine(  # pragma: no cover - compiled
        first: int,
        last: int,
        group: int,
        parts: int,
        part: int,
        strict: bool,
        synapse: bool,
        x: Array,
        weight: Array,
        tiled: bool,
        bias: Array,
        i: Array,
        v: Array,
        c: Array,
        y: Array,
        constants: Array,
    ) -> None:
        (steps, batch, width), period, size = x.shape, c.shape[1], y.shape[2]
        zero, one = constants[0], constants[1]
        of, to = x.reshape(-1), y.reshape(-1)
        rows, index, ends, plain = room_for(steps, width)
        # Local arrays: the compiler must see that nothing overlaps.
        vs, cs = np.empty(group * part, x.dtype), np.empty(group * part, x.dtype)
        beta, gain, leak = np.empty_like(vs), np.empty_like(vs), np.empty_like(vs)
        threshold, target = np.empty_like(vs), np.empty_like(vs)
        alpha, w, v_min = np.empty_like(vs), np.empty_like(vs), np.empty_like(vs)
        for lane in range(first, last):
            b, start = lane // parts * group, lane % parts * part
            samples, neurons = min(group, batch - b), min(part, size - start)
            n = samples * neurons
            for k in range(n):
                s, j = b + k // neurons, start + k % neurons
                p = j % period
                vs[k], cs[k] = v[s, j], i[s, j]
                beta[k], gain[k], leak[k] = c[0, p], c[1, p], c[2, p]
                threshold[k], target[k], alpha[k], w[k] = c[3, p], c[4, p], c[5, p], c[6, p]
                v_min[k] = c[7, p]
            for begin in range(0, steps, rows):
                worked = min(rows, steps - begin)
                for s in range(b, b + samples):
                    at, sums = (begin * batch + s) * width, (begin * batch + s) * size
                    weighted_sums(
                        of, at, batch * width, worked, width, weight, tiled, bias,
                        to, sums, batch * size, start, start + neurons, index, ends, plain,
                    )  # fmt: skip
                for t in range(begin, begin + worked):
                    sums = (t * batch + b) * size + start
                    ys = to[sums : sums + n]
                    if synapse:
                        for k in range(n):
                            cs[k] = alpha[k] * cs[k] + w[k] * ys[k]
                            ys[k] = cs[k]
                    for k in range(n):
                        drive = gain[k] * ys[k] + leak[k]
                        ys[k], vs[k], _, _ = membrane(
                            reset,
                            early,
                            strict,
                            many,
                            bounded,
                            vs[k],
                            drive,
                            beta[k],
                            threshold[k],
                            target[k],
                            v_min[k],
                            zero,
                            one,
                        )
            for k in range(n):
                s, j = b + k // neurons, start + k % neurons
                v[s, j] = vs[k]
                if synapse:
                    i[s, j] = cs[k]

    return compiled(affine)
