"""The update of a membrane for CPUs, backwards: the chain rule through its lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import compiled, inlined
from .numba_scan import (
    CARRY,
    HOLD,
    LOWER,
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
    if early or reset not in (ZERO, VALUE, SUBTRACT, CARRY, LOWER):
        return u
    s = sent(u, threshold, strict, many, zero, one)
    if reset == ZERO:
        return u * (one - at_most(s, many, one))
    if reset == VALUE:
        return target if s > zero else u
    if reset == SUBTRACT:
        return u - s * threshold
    if reset == LOWER:
        return u - s * target
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
        elif reset == LOWER:
            g_target = -(g_after * s)
            g_spike = g_spike - attached * (g_after * target)
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
    if early and reset == LOWER:
        g_target = -(g * due)
        g_due = g_due - attached * (g * target)
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
