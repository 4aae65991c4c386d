"""The neuron scan for CPUs, backwards: the chain rule through every step, from last to first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .compiled import compiled, inlined, put
from .numba_scan import (
    BLOCK,
    CARRY,
    HOLD,
    NO_FIRE,
    SUBTRACT,
    VALUE,
    ZERO,
    Array,
    at_most,
    sent,
)

ATAN, FAST_SIGMOID, SIGMOID, TRIANGULAR, STRAIGHT_THROUGH = range(5)


@compiled
def slopes(kind: int, u: Array, threshold: Array, found: Array, constants: Array) -> None:
    """The surrogate derivatives of spikes, given the membranes that were tested."""
    zero, one, p, q = constants[0], constants[1], constants[2], constants[3]
    n = len(found)
    if kind == ATAN:
        for k in range(n):
            z = q * (u[k] - threshold[k])
            found[k] = p / (one + z * z)
    elif kind == FAST_SIGMOID:
        for k in range(n):
            z = one + p * abs(u[k] - threshold[k])
            found[k] = one / (z * z)
    elif kind == SIGMOID:
        for k in range(n):
            s = one / (one + np.exp(-p * (u[k] - threshold[k])))
            found[k] = p * s * (one - s)
    elif kind == TRIANGULAR:
        for k in range(n):
            found[k] = max(zero, one - p * abs(u[k] - threshold[k]))
    else:
        for k in range(n):
            found[k] = one


@compiled
def nearest(u: Any, threshold: Any, many: bool, one: Any) -> Any:
    """Which multiple of the threshold is nearest to a membrane: the first, if not ``many``."""
    if many:
        return max(np.floor(u / threshold + one / (one + one)), one)
    return one


@compiled
def crossings(u: Array, threshold: Array, many: bool, one: Any, found: Array) -> None:
    """The potentials where the surrogate derivatives are centred."""
    for k in range(len(found)):
        found[k] = nearest(u[k], threshold[k], many, one) * threshold[k]


@compiled
def stored(
    reset: int,
    early: bool,
    strict: bool,
    many: bool,
    u: Any,
    due: Any,
    threshold: Any,
    target: Any,
    zero: Any,
    one: Any,
) -> Any:
    """What a step carries on before it is bounded, given the membrane that it tested."""
    if early or reset not in (ZERO, VALUE, SUBTRACT, CARRY):
        return u
    s = sent(u, threshold, strict, many, zero, one)
    if reset == ZERO:
        return u * (one - at_most(s, many, one))
    if reset == VALUE:
        return target if s > zero else u
    if reset == SUBTRACT:
        return u - s * threshold
    return u - (s - due) * threshold


@compiled
def through_membrane(
    reset: int,
    early: bool,
    strict: bool,
    many: bool,
    bounded: bool,
    attached: Any,
    g_out: Any,
    g_after: Any,
    v: Any,
    u: Any,
    held: Any,
    beta: Any,
    threshold: Any,
    target: Any,
    v_min: Any,
    slope: Any,
    slope_due: Any,
    zero: Any,
    one: Any,
) -> tuple[Any, Any, Any, Any, Any, Any]:
    """Gradients of one ``membrane`` update, taking its lines backwards.

    ``attached`` is one where gradients flow through the spike that resets, else zero.

    Returns:
        (of the drive, of the membrane before, of the threshold, of the target, of the bound, the
        membrane that beta multiplied).
    """
    if reset == NO_FIRE:
        g = g_out + g_after
        return g, g * beta, zero, zero, zero, v
    s = sent(u, threshold, strict, many, zero, one)
    due = sent(v, threshold, strict, many, zero, one) if early or reset == CARRY else zero
    once, once_due = at_most(s, many, one), at_most(due, many, one)
    g_min = zero
    if bounded and (
        stored(reset, early, strict, many, u, due, threshold, target, zero, one) < v_min
    ):
        g_min, g_after = g_after, zero
    g, g_spike, g_due, g_threshold, g_target = g_after, g_out, zero, zero, zero
    if not early:
        if reset == ZERO:
            g = g_after * (one - once)
            g_spike = g_spike - attached * (g_after * u)
        elif reset == VALUE:
            g = g_after * (one - once)
            g_target = g_after * once
            g_spike = g_spike + attached * (g_after * (target - u))
        elif reset == SUBTRACT:
            g_threshold = -(g_after * s)
            g_spike = g_spike - attached * (g_after * threshold)
        elif reset == CARRY:
            g_threshold = -(g_after * (s - due))
            g_spike = g_spike - attached * (g_after * threshold)
            g_due = attached * (g_after * threshold)
    through_spike = g_spike * slope
    g = g + through_spike
    g_threshold = g_threshold - nearest(u, threshold, many, one) * through_spike
    if (early and reset == SUBTRACT) or reset == CARRY:
        g_threshold = g_threshold - g * due
        g_due = g_due - attached * (g * threshold)
    if reset == HOLD:
        g_due = g_due - attached * (g * held)
        g = g * (one - once_due)
    start, g_v = v, g * beta
    if early and reset == ZERO:
        start = v * (one - once_due)
        g_due = g_due - attached * (g_v * v)
        g_v = g_v * (one - once_due)
    if early and reset == VALUE:
        start = target if due > zero else v
        g_target = g_v * once_due
        g_due = g_due + attached * (g_v * (target - v))
        g_v = g_v * (one - once_due)
    if early or reset == CARRY:
        through_due = g_due * slope_due
        g_v = g_v + through_due
        g_threshold = g_threshold - nearest(v, threshold, many, one) * through_due
    return g, g_v, g_threshold, g_target, g_min, start


@inlined
def walk_back(
    reset: int,
    early: bool,
    strict: bool,
    many: bool,
    bounded: bool,
    kind: int,
    detach: bool,
    n: int,
    gs: Array,
    gvs: Array,
    vs: Array,
    us: Array,
    hs: Array,
    beta: Array,
    threshold: Array,
    target: Array,
    v_min: Array,
    centres: Array,
    slope: Array,
    slope_due: Array,
    gds: Array,
    gts: Array,
    gas: Array,
    gms: Array,
    starts: Array,
    constants: Array,
) -> None:
    """One step back of ``n`` membranes; nothing may overlap, and the compiler must see it.

    Takes ``gs``, gradients of what they send, and ``gvs``, in place, of what they carry on; ``vs``,
    what was carried to the step, ``us``, what was tested, and ``hs``, what was before a hold.
    Fills ``gds``, ``gts``, ``gas`` and ``gms``, gradients of drives, thresholds, targets and
    bounds, and ``starts``, what beta multiplied. ``centres`` holds thresholds; ``slope`` and
    ``slope_due`` are room for the derivatives of spikes.
    """
    zero, one = constants[0], constants[1]
    attached = zero if detach else one
    if many:
        crossings(us, threshold, many, one, centres)
    if reset != NO_FIRE:
        slopes(kind, us, centres, slope, constants)
    if not detach and (early or reset == CARRY):
        if many:
            crossings(vs, threshold, many, one, centres)
        slopes(kind, vs, centres, slope_due, constants)
    for k in range(n):
        gds[k], gvs[k], gts[k], gas[k], gms[k], starts[k] = through_membrane(
            reset,
            early,
            strict,
            many,
            bounded,
            attached,
            gs[k],
            gvs[k],
            vs[k],
            us[k],
            hs[k],
            beta[k],
            threshold[k],
            target[k],
            v_min[k],
            slope[k],
            slope_due[k],
            zero,
            one,
        )


@functools.cache
def backward_kernel(
    reset: int, early: bool, many: bool = False, bounded: bool = False
) -> Callable[..., None]:
    """The loop backwards for a reset, from step ``end - 1`` to step ``begin``.

    Takes gradients of the outputs, ``grads``, and of the states after the last step, ``gi`` and
    ``gv``, which become those of the states before the first; writes gradients of the input into
    ``gx`` and, if ``learning``, adds up those of coefficients in ``gc`` (8, N).
    """

    def backward(  # pragma: no cover - compiled
        first: int,
        last: int,
        begin: int,
        end: int,
        strict: bool,
        synapse: bool,
        kind: int,
        detach: bool,
        learning: bool,
        grads: Array,
        gi: Array,
        gv: Array,
        x: Array,
        i0: Array,
        v0: Array,
        c: Array,
        tested: Array,
        beside: Array,
        currents: Array,
        gx: Array,
        gc: Array,
        constants: Array,
    ) -> None:
        period = c.shape[1]
        zero, one = constants[0], constants[1]
        a = first
        while a < last:
            p = a % period
            n = min(BLOCK, last - a, period - p)
            beta, gain = c[0, p : p + n], c[1, p : p + n]
            threshold, target = c[3, p : p + n], c[4, p : p + n]
            alpha, weight, v_min = c[5, p : p + n], c[6, p : p + n], c[7, p : p + n]
            gvs, gis, gds = gv[a : a + n].copy(), gi[a : a + n].copy(), np.empty(n, gv.dtype)
            vs, slope, slope_due = np.empty(n, gv.dtype), np.empty(n, gv.dtype), gvs.copy()
            gts, gas, gms = np.empty(n, gv.dtype), np.empty(n, gv.dtype), np.empty(n, gv.dtype)
            starts, centres = np.empty(n, gv.dtype), threshold.copy()
            for t in range(end - 1, begin - 1, -1):
                gs, us, hs = grads[t, a : a + n], tested[t, a : a + n], tested[t, a : a + n]
                if t == 0:
                    put(v0[a : a + n], vs)
                elif reset == CARRY:
                    put(beside[t - 1, a : a + n], vs)
                else:
                    before = tested[t - 1, a : a + n]
                    for k in range(n):
                        vs[k] = stored(
                            reset, early, strict, many, before[k], zero, threshold[k], target[k],
                            zero, one,
                        )  # fmt: skip
                        if bounded and vs[k] < v_min[k]:
                            vs[k] = v_min[k]
                if reset == HOLD:
                    hs = beside[t, a : a + n]
                walk_back(
                    reset, early, strict, many, bounded, kind, detach, n, gs, gvs, vs, us, hs,
                    beta, threshold, target, v_min, centres, slope, slope_due,
                    gds, gts, gas, gms, starts, constants,
                )  # fmt: skip
                if learning:
                    sums = gc[:, a : a + n]
                    for k in range(n):
                        sums[0, k] += gds[k] * starts[k]
                        sums[2, k] += gds[k]
                        sums[3, k] += gts[k]
                        sums[4, k] += gas[k]
                        if bounded:
                            sums[7, k] += gms[k]
                    driven = currents[t, a : a + n] if synapse else x[t, a : a + n]
                    for k in range(n):
                        sums[1, k] += gds[k] * driven[k]
                gxs = gx[t, a : a + n]
                if synapse:
                    for k in range(n):
                        gis[k] = gis[k] + gds[k] * gain[k]
                    if learning:
                        past = currents[t - 1, a : a + n] if t else i0[a : a + n]
                        xs = x[t, a : a + n]
                        for k in range(n):
                            sums[5, k] += gis[k] * past[k]
                            sums[6, k] += gis[k] * xs[k]
                    for k in range(n):
                        gxs[k] = gis[k] * weight[k]
                        gis[k] = gis[k] * alpha[k]
                else:
                    for k in range(n):
                        gxs[k] = gds[k] * gain[k]
            put(gvs, gv[a : a + n])
            if synapse:
                put(gis, gi[a : a + n])
            a += n

    return compiled(backward)
