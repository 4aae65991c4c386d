"""The neuron scan for GPUs, backwards: the chain rule through every step, from last to first.

Membranes are those that were carried forwards, bit for bit. Gradients of half types are carried in
float32 and rounded where they leave, which is closer to the truth than rounding them in each step.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_scan import at_most, less, narrowed, over, raised, rounded, sent, widened


@triton.jit
def nearest(u, threshold, MANY: tl.constexpr):  # pragma: no cover
    """Which multiple of the threshold is nearest to a membrane: the first, without ``MANY``."""
    k = tl.full(u.shape, 1, u.dtype)
    if MANY:
        k = tl.maximum(tl.floor(over(u, threshold) + 0.5), k)
    return k


@triton.jit
def slopes(u, threshold, p, q, KIND: tl.constexpr):  # pragma: no cover
    """The surrogate derivatives of spikes, given the membranes that were tested."""
    d = u - threshold
    if KIND == "atan":
        z = q * d
        found = over(p, 1 + z * z)
    elif KIND == "fast_sigmoid":
        z = 1 + p * tl.abs(d)
        found = over(tl.full(z.shape, 1, z.dtype), z * z)
    elif KIND == "sigmoid":
        z = 1 + tl.exp(-p * d)
        s = over(tl.full(z.shape, 1, z.dtype), z)
        found = p * s * (1 - s)
    elif KIND == "triangular":
        found = tl.maximum(1 - p * tl.abs(d), 0)
    else:
        found = tl.full(d.shape, 1, d.dtype)
    return found


@triton.jit
def stored(
    u,
    due,
    threshold,
    target,
    RESET: tl.constexpr,
    EARLY: tl.constexpr,
    STRICT: tl.constexpr,
    MANY: tl.constexpr,
    dtype: tl.constexpr,
):  # pragma: no cover
    """What a step carries on before it is bounded, given the membrane that it tested."""
    if not EARLY:
        s = sent(u, threshold, STRICT, MANY, dtype)
        if RESET == "zero":
            u = u * (1 - at_most(s, MANY))
        elif RESET == "value":
            u = tl.where(s > 0, target, u)
        elif RESET == "subtract":
            u = less(u, s, threshold, dtype)
        elif RESET == "lower":
            u = less(u, s, target, dtype)
        elif RESET == "carry":
            u = less(u, rounded(s - due, dtype), threshold, dtype)
    return u


@triton.jit
def through_membrane(
    g_out,
    g_after,
    v,
    u,
    held,
    beta,
    threshold,
    target,
    v_min,
    p,
    q,
    RESET: tl.constexpr,
    EARLY: tl.constexpr,
    STRICT: tl.constexpr,
    MANY: tl.constexpr,
    BOUNDED: tl.constexpr,
    KIND: tl.constexpr,
    DETACH: tl.constexpr,
    dtype: tl.constexpr,
):  # pragma: no cover
    """Gradients of one ``membrane`` update, taking its lines backwards.

    With ``DETACH``, none flows through the spike that resets.

    Returns:
        (of the drive, of the membrane before, of the threshold, of the target, of the bound, the
        membrane that beta multiplied).
    """
    g_due = tl.full(u.shape, 0, u.dtype)
    g_threshold = g_due
    g_target = g_due
    g_min = g_due
    start = v
    if RESET == "no_fire":
        g = g_out + g_after
        g_v = g * beta
    else:
        s = sent(u, threshold, STRICT, MANY, dtype)
        due = sent(v, threshold, STRICT, MANY, dtype)
        once = at_most(s, MANY)
        once_due = at_most(due, MANY)
        if BOUNDED:
            low = stored(u, due, threshold, target, RESET, EARLY, STRICT, MANY, dtype) < v_min
            g_min = tl.where(low, g_after, 0)
            g_after = tl.where(low, 0, g_after)
        g = g_after
        g_spike = g_out
        if not EARLY:
            if RESET == "zero":
                g = g_after * (1 - once)
                if not DETACH:
                    g_spike = g_spike - g_after * u
            elif RESET == "value":
                g = g_after * (1 - once)
                g_target = g_after * once
                if not DETACH:
                    g_spike = g_spike + g_after * (target - u)
            elif RESET == "subtract":
                g_threshold = -(g_after * s)
                if not DETACH:
                    g_spike = g_spike - g_after * threshold
            elif RESET == "lower":
                g_target = -(g_after * s)
                if not DETACH:
                    g_spike = g_spike - g_after * target
            elif RESET == "carry":
                g_threshold = -(g_after * (s - due))
                if not DETACH:
                    g_spike = g_spike - g_after * threshold
                    g_due = g_after * threshold
        k = nearest(u, threshold, MANY)
        through_spike = g_spike * slopes(u, k * threshold, p, q, KIND)
        g = g + through_spike
        g_threshold = g_threshold - k * through_spike
        if (EARLY and RESET == "subtract") or RESET == "carry":
            g_threshold = g_threshold - g * due
            g_due = g_due - g * threshold
        if EARLY and RESET == "lower":
            g_target = -(g * due)
            g_due = g_due - g * target
        if RESET == "hold":
            g_due = g_due - g * held
            g = g * (1 - once_due)
        g_v = g * beta
        if EARLY and RESET == "zero":
            start = v * (1 - once_due)
            g_due = g_due - g_v * v
            g_v = g_v * (1 - once_due)
        if EARLY and RESET == "value":
            start = tl.where(due > 0, target, v)
            g_target = g_v * once_due
            g_due = g_due + g_v * (target - v)
            g_v = g_v * (1 - once_due)
        if not DETACH and (EARLY or RESET == "carry"):
            k = nearest(v, threshold, MANY)
            through_due = g_due * slopes(v, k * threshold, p, q, KIND)
            g_v = g_v + through_due
            g_threshold = g_threshold - k * through_due
    return g, g_v, g_threshold, g_target, g_min, start


@triton.jit(do_not_specialize=["steps", "size", "period"])
def backward(
    grads,
    gi,
    gv,
    x,
    i0,
    v0,
    c,
    tested,
    beside,
    currents,
    gx,
    gc,
    constants,
    steps,
    size,
    period,
    RESET: tl.constexpr,
    EARLY: tl.constexpr,
    STRICT: tl.constexpr,
    MANY: tl.constexpr,
    BOUNDED: tl.constexpr,
    SYNAPSE: tl.constexpr,
    KIND: tl.constexpr,
    DETACH: tl.constexpr,
    LEARNING: tl.constexpr,
    BLOCK: tl.constexpr,
):  # pragma: no cover
    """Walk back through all steps.

    Takes gradients of the outputs, ``grads``, and of the states after the last step, ``gi`` and
    ``gv``, which become those of the states before the first; writes gradients of the input into
    ``gx`` and, if ``LEARNING``, those of coefficients into ``gc`` (8, N), in the dtype of the
    arithmetic.
    """
    dtype: tl.constexpr = grads.dtype.element_ty
    size = size.to(tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = n < size
    period = period.to(tl.int64)
    own = c + n % period
    beta = widened(tl.load(own, mask=there))
    gain = widened(tl.load(own + period, mask=there))
    threshold = widened(tl.load(own + 3 * period, mask=there, other=1))
    target = widened(tl.load(own + 4 * period, mask=there))
    alpha = widened(tl.load(own + 5 * period, mask=there))
    weight = widened(tl.load(own + 6 * period, mask=there))
    v_min = widened(tl.load(own + 7 * period, mask=there))
    p = tl.load(constants + 2)
    q = tl.load(constants + 3)
    first_v = widened(tl.load(v0 + n, mask=there))
    first_i = widened(tl.load(i0 + n, mask=there))
    g_v = widened(tl.load(gv + n, mask=there))
    g_i = widened(tl.load(gi + n, mask=there))
    of_beta = tl.full(g_v.shape, 0, g_v.dtype)
    of_gain = of_beta
    of_leak = of_beta
    of_threshold = of_beta
    of_target = of_beta
    of_alpha = of_beta
    of_weight = of_beta
    of_min = of_beta
    at = n + (steps - 1) * size
    u = widened(tl.load(tested + at, mask=there))
    current = u
    if SYNAPSE and LEARNING:
        current = widened(tl.load(currents + at, mask=there))
    for _ in range(steps):
        # There is a step before all but the first, where the walk ends.
        more = at >= size
        before = u
        if RESET == "carry":
            v = widened(tl.load(beside + at - size, mask=there & more))
        else:
            before = widened(tl.load(tested + at - size, mask=there & more))
            v = stored(before, before, threshold, target, RESET, EARLY, STRICT, MANY, dtype)
            v = raised(v, v_min, BOUNDED)
        v = tl.where(more, v, first_v)
        held = u
        if RESET == "hold":
            held = widened(tl.load(beside + at, mask=there))
        g, g_v, to_threshold, to_target, to_min, start = through_membrane(
            widened(tl.load(grads + at, mask=there)),
            g_v,
            v,
            u,
            held,
            beta,
            threshold,
            target,
            v_min,
            p,
            q,
            RESET,
            EARLY,
            STRICT,
            MANY,
            BOUNDED,
            KIND,
            DETACH,
            dtype,
        )
        if LEARNING:
            now = widened(tl.load(x + at, mask=there))
            of_beta += g * start
            of_leak += g
            of_threshold += to_threshold
            of_target += to_target
            of_min += to_min
            if SYNAPSE:
                of_gain += g * current
            else:
                of_gain += g * now
        g_x = g * gain
        if SYNAPSE:
            g_i += g_x
            if LEARNING:
                past = widened(tl.load(currents + at - size, mask=there & more))
                current = tl.where(more, past, first_i)
                of_alpha += g_i * current
                of_weight += g_i * now
            g_x = g_i * weight
            g_i = g_i * alpha
        tl.store(gx + at, narrowed(rounded(g_x, dtype), dtype), mask=there)
        if RESET == "carry":
            before = widened(tl.load(tested + at - size, mask=there & more))
        u = before
        at -= size
    tl.store(gv + n, narrowed(rounded(g_v, dtype), dtype), mask=there)
    if SYNAPSE:
        tl.store(gi + n, narrowed(rounded(g_i, dtype), dtype), mask=there)
    if LEARNING:
        sums = gc + n
        tl.store(sums, of_beta, mask=there)
        tl.store(sums + size, of_gain, mask=there)
        tl.store(sums + 2 * size, of_leak, mask=there)
        tl.store(sums + 3 * size, of_threshold, mask=there)
        tl.store(sums + 4 * size, of_target, mask=there)
        tl.store(sums + 5 * size, of_alpha, mask=there)
        tl.store(sums + 6 * size, of_weight, mask=there)
        tl.store(sums + 7 * size, of_min, mask=there)
