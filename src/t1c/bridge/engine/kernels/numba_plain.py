"""A neuron of which nothing is learnt and whose reset is not late, in training, for CPUs.

This is what most networks are trained with. There, the membranes that are tested take the place of
what drove them. Back, what a step was handed need not be worked out, the membrane that it tested is
enough, and the derivative of a spike is taken in the same pass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .compiled import compiled, put
from .numba_backward import (
    ATAN,
    FAST_SIGMOID,
    SIGMOID,
    TRIANGULAR,
    through_membrane,
)
from .numba_scan import Array, membrane

BLOCK = 1024
"""Neurons that walk through time together; a period of coefficients has no fewer."""


@compiled
def slope_of(kind: int, d: Any, zero: Any, one: Any, p: Any, q: Any) -> Any:
    """The surrogate derivative of a spike whose membrane is ``d`` above its threshold."""
    if kind == ATAN:
        z = q * d
        return p / (one + z * z)
    if kind == FAST_SIGMOID:
        z = one + p * abs(d)
        return one / (z * z)
    if kind == SIGMOID:
        s = one / (one + np.exp(-p * d))
        return p * s * (one - s)
    if kind == TRIANGULAR:
        return max(zero, one - p * abs(d))
    return one


@functools.cache
def plain_forward_kernel(reset: int, bounded: bool) -> Callable[..., None]:
    """The loop forwards for a reset: walks ``i`` and ``v``, in place, through all steps.

    Takes what drives the neuron in ``tested``, where the membranes that were tested are then.
    """

    def forward(  # pragma: no cover - compiled
        first: int,
        last: int,
        strict: bool,
        synapse: bool,
        i: Array,
        v: Array,
        c: Array,
        tested: Array,
        out: Array,
        constants: Array,
    ) -> None:
        period, zero, one = c.shape[1], constants[0], constants[1]
        a = first
        while a < last:
            at = a % period
            n = min(BLOCK, last - a, period - at)
            # Copies: the compiler must see that nothing overlaps.
            beta, gain, leak = c[0, at : at + n].copy(), c[1, at : at + n].copy(), c[2, at : at + n]
            threshold, target = c[3, at : at + n].copy(), c[4, at : at + n].copy()
            leak, v_min, vs = leak.copy(), c[7, at : at + n].copy(), v[a : a + n].copy()
            for t in range(len(tested)):
                us, ys = tested[t, a : a + n], out[t, a : a + n]
                if synapse:
                    alpha, weight, cs = c[5, at : at + n], c[6, at : at + n], i[a : a + n]
                    for k in range(n):
                        cs[k] = alpha[k] * cs[k] + weight[k] * us[k]
                        us[k] = cs[k]
                for k in range(n):
                    drive = gain[k] * us[k] + leak[k]
                    ys[k], vs[k], us[k], _ = membrane(
                        reset, False, strict, False, bounded, vs[k], drive,
                        beta[k], threshold[k], target[k], v_min[k], zero, one,
                    )  # fmt: skip
            put(vs, v[a : a + n])
            a += n

    return compiled(forward)


@functools.cache
def plain_backward_kernel(reset: int, bounded: bool, kind: int) -> Callable[..., None]:
    """The loop backwards for a reset and a surrogate, from step ``end - 1`` to step ``begin``.

    Of a rule for which ``rule.is_prompt`` holds. Takes ``grads``, of the outputs, ``gi`` and
    ``gv``, in place, of the state carried on, and ``tested``, what the loop forwards left there;
    fills ``gx``, of the inputs.
    """

    def backward(  # pragma: no cover - compiled
        first: int,
        last: int,
        begin: int,
        end: int,
        strict: bool,
        synapse: bool,
        detach: bool,
        grads: Array,
        gi: Array,
        gv: Array,
        c: Array,
        tested: Array,
        gx: Array,
        constants: Array,
    ) -> None:
        period = c.shape[1]
        zero, one, p, q = constants[0], constants[1], constants[2], constants[3]
        attached = zero if detach else one
        a = first
        while a < last:
            at = a % period
            n = min(BLOCK, last - a, period - at)
            # Copies: the compiler must see that nothing overlaps.
            beta, gain = c[0, at : at + n].copy(), c[1, at : at + n].copy()
            threshold, target = c[3, at : at + n].copy(), c[4, at : at + n].copy()
            v_min = c[7, at : at + n].copy()
            gvs = gv[a : a + n].copy()
            for t in range(end - 1, begin - 1, -1):
                gs, us, gxs = grads[t, a : a + n], tested[t, a : a + n], gx[t, a : a + n]
                for k in range(n):
                    u = us[k]
                    slope = slope_of(kind, u - threshold[k], zero, one, p, q)
                    g, gvs[k], _, _, _, _ = through_membrane(
                        reset,
                        False,
                        strict,
                        False,
                        bounded,
                        attached,
                        gs[k],
                        gvs[k],
                        u,
                        u,
                        u,
                        beta[k],
                        threshold[k],
                        target[k],
                        v_min[k],
                        slope,
                        slope,
                        zero,
                        one,
                    )
                    gxs[k] = g * gain[k]
                if synapse:
                    alpha, weight = c[5, at : at + n], c[6, at : at + n]
                    gis = gi[a : a + n]
                    for k in range(n):
                        g = gis[k] + gxs[k]
                        gxs[k] = g * weight[k]
                        gis[k] = g * alpha[k]
            put(gvs, gv[a : a + n])
            a += n

    return compiled(backward)
