"""The way back through a neuron of which nothing is learnt and whose reset is not late, for CPUs.

This is what most networks are trained with. What a step was handed need not be worked out then, the
membrane that it tested is enough, and the derivative of a spike is taken in the same pass.
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
from .numba_scan import BLOCK, Array
from .rule import Rule


def is_plain(rule: Rule) -> bool:
    """Whether a step back needs no more than the membrane that it tested."""
    return not (rule.delay or rule.many or rule.reset in ("hold", "carry"))


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
def plain_backward_kernel(reset: int, bounded: bool, kind: int) -> Callable[..., None]:
    """The loop backwards for a reset and a surrogate, from step ``end - 1`` to step ``begin``.

    Takes and fills what ``numba_backward.backward_kernel`` does, as far as a rule needs it of which
    ``is_plain`` holds.
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
