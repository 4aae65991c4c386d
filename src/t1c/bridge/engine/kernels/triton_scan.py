"""The neuron scan for GPUs: one compiled loop over time, forwards.

Every neuron and every option is the same loop. Options are constants when it is compiled, so that
what is not asked for is not there. A thread keeps the state of its neuron in registers through all
steps.

Arrays are (T, N), N counting the elements of a batch one sample after another, and coefficients
(8, P) in the order of ``rule.COEFFICIENTS``: element n has the coefficients at n modulo P.

Half types are worked in float32, and each product and sum is rounded to the half type, as torch
does it: float32 holds more than twice their digits, so that rounding twice is rounding once.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Arguments are not annotated, for Triton compiles annotations too.


@triton.jit
def widened(a):  # pragma: no cover
    """A number as it is computed with: float32 for half types, else itself."""
    # Bits, not casts, for bfloat16: Triton's interpreter casts it without rounding, and loses
    # subnormal numbers; bits are the same everywhere.
    if a.dtype == tl.bfloat16:
        a = (a.to(tl.uint16, bitcast=True).to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    elif a.dtype == tl.float16:
        a = a.to(tl.float32)
    return a


@triton.jit
def rounded(a, dtype: tl.constexpr):  # pragma: no cover
    """The nearest number that ``dtype`` has, the even one of two; still as computed with."""
    if dtype == tl.bfloat16:
        bits = a.to(tl.uint32, bitcast=True)
        bits = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16
        # What is added would carry the bits of NaN over into another number.
        a = tl.where(a == a, bits.to(tl.float32, bitcast=True), a)
    elif dtype == tl.float16:
        a = a.to(tl.float16).to(tl.float32)
    return a


@triton.jit
def narrowed(a, dtype: tl.constexpr):  # pragma: no cover
    """A number that ``dtype`` has, in ``dtype``."""
    if dtype == tl.bfloat16:
        bits = a.to(tl.uint32, bitcast=True) >> 16
        a = bits.to(tl.uint16).to(tl.bfloat16, bitcast=True)
    elif dtype == tl.float16:
        a = a.to(tl.float16)
    return a


@triton.jit
def fires(u, threshold, STRICT: tl.constexpr):  # pragma: no cover
    """One where ``u`` passes the threshold or, if not ``STRICT``, meets it; else zero."""
    s = u > threshold if STRICT else u >= threshold
    return s.to(u.dtype)


@triton.jit
def over(a, b):  # pragma: no cover
    """The quotient, rounded correctly."""
    # Triton divides float32 in haste unless told otherwise, and cannot be told so for float64.
    return tl.fdiv(a, b, ieee_rounding=True) if b.dtype == tl.float32 else a / b


@triton.jit
def sent(
    u, threshold, STRICT: tl.constexpr, MANY: tl.constexpr, dtype: tl.constexpr
):  # pragma: no cover
    """The spikes of a membrane: one at most or, with ``MANY``, as many as it holds thresholds."""
    s = fires(u, threshold, STRICT)
    if MANY:
        s = tl.where(s > 0, tl.floor(rounded(over(u, threshold), dtype)), s)
    return s


@triton.jit
def at_most(s, MANY: tl.constexpr):  # pragma: no cover
    """One where there are spikes."""
    return tl.minimum(s, 1) if MANY else s


@triton.jit
def weighed(a, x, b, dtype: tl.constexpr):  # pragma: no cover
    """The product of ``a`` and ``x``, and ``b`` added to it, each rounded."""
    return rounded(rounded(a * x, dtype) + b, dtype)


@triton.jit
def less(u, s, threshold, dtype: tl.constexpr):  # pragma: no cover
    """The threshold, or what else a reset takes off, subtracted ``s`` times.

    The product and the difference are rounded.
    """
    return rounded(u - rounded(s * threshold, dtype), dtype)


@triton.jit
def raised(after, v_min, BOUNDED: tl.constexpr):  # pragma: no cover
    """The membrane to carry on, if it has a bound."""
    return tl.where(after < v_min, v_min, after) if BOUNDED else after


@triton.jit
def membrane(
    v,
    drive,
    beta,
    threshold,
    target,
    v_min,
    RESET: tl.constexpr,
    EARLY: tl.constexpr,
    STRICT: tl.constexpr,
    MANY: tl.constexpr,
    BOUNDED: tl.constexpr,
    dtype: tl.constexpr,
):  # pragma: no cover
    """One update: (output, membrane to carry on, membrane when firing is tested, that before hold).

    ``EARLY``: the reset that a step causes is applied in the next; ``MANY``: several spikes at
    once; ``BOUNDED``: what is carried on is raised to ``v_min``.
    """
    if RESET == "no_fire":
        u = weighed(beta, v, drive, dtype)
        s = u
        after = u
        held = u
    else:
        due = sent(v, threshold, STRICT, MANY, dtype)
        if EARLY and RESET == "zero":
            v = v * (1 - at_most(due, MANY))
        if EARLY and RESET == "value":
            v = tl.where(due > 0, target, v)
        u = weighed(beta, v, drive, dtype)
        held = u
        if (EARLY and RESET == "subtract") or RESET == "carry":
            u = less(u, due, threshold, dtype)
        if EARLY and RESET == "lower":
            u = less(u, due, target, dtype)
        if RESET == "hold":
            u = u * (1 - at_most(due, MANY))
        s = sent(u, threshold, STRICT, MANY, dtype)
        after = u
        if not EARLY:
            if RESET == "zero":
                after = u * (1 - at_most(s, MANY))
            elif RESET == "value":
                after = tl.where(s > 0, target, u)
            elif RESET == "subtract":
                after = less(u, s, threshold, dtype)
            elif RESET == "lower":
                after = less(u, s, target, dtype)
            elif RESET == "carry":
                after = less(u, rounded(s - due, dtype), threshold, dtype)
        after = raised(after, v_min, BOUNDED)
    return s, after, u, held


@triton.jit(do_not_specialize=["steps", "size", "period"])
def forward(
    x,
    i,
    v,
    c,
    out,
    tested,
    beside,
    currents,
    steps,
    size,
    period,
    RESET: tl.constexpr,
    EARLY: tl.constexpr,
    STRICT: tl.constexpr,
    MANY: tl.constexpr,
    BOUNDED: tl.constexpr,
    SYNAPSE: tl.constexpr,
    KEEP: tl.constexpr,
    BLOCK: tl.constexpr,
):  # pragma: no cover
    """Walk ``i`` and ``v``, in place, through all steps of ``x``.

    With ``KEEP`` it notes what the way back needs: the membranes tested; beside them, carried
    membranes or those before a hold; and currents.
    """
    dtype: tl.constexpr = x.dtype.element_ty
    # All steps of all neurons may be more than 32 bits can count.
    size = size.to(tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = n < size
    period = period.to(tl.int64)
    own = c + n % period
    beta = widened(tl.load(own, mask=there))
    gain = widened(tl.load(own + period, mask=there))
    leak = widened(tl.load(own + 2 * period, mask=there))
    threshold = widened(tl.load(own + 3 * period, mask=there, other=1))
    target = widened(tl.load(own + 4 * period, mask=there))
    alpha = widened(tl.load(own + 5 * period, mask=there))
    weight = widened(tl.load(own + 6 * period, mask=there))
    v_min = widened(tl.load(own + 7 * period, mask=there))
    u = widened(tl.load(v + n, mask=there))
    current = widened(tl.load(i + n, mask=there))
    at = n
    for _ in range(steps):
        now = widened(tl.load(x + at, mask=there))
        if SYNAPSE:
            current = weighed(alpha, current, rounded(weight * now, dtype), dtype)
            now = current
            if KEEP:
                tl.store(currents + at, narrowed(current, dtype), mask=there)
        drive = weighed(gain, now, leak, dtype)
        s, u, kept, held = membrane(
            u,
            drive,
            beta,
            threshold,
            target,
            v_min,
            RESET,
            EARLY,
            STRICT,
            MANY,
            BOUNDED,
            dtype,
        )
        tl.store(out + at, narrowed(s, dtype), mask=there)
        if KEEP:
            tl.store(tested + at, narrowed(kept, dtype), mask=there)
            if RESET == "hold":
                tl.store(beside + at, narrowed(held, dtype), mask=there)
            if RESET == "carry":
                tl.store(beside + at, narrowed(u, dtype), mask=there)
        at += size
    tl.store(v + n, narrowed(u, dtype), mask=there)
    if SYNAPSE:
        tl.store(i + n, narrowed(current, dtype), mask=there)
