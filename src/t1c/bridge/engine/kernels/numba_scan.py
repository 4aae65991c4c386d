"""The update of a membrane for CPUs, for loops that do more than neurons.

Every neuron and every option is the same update. When a loop is compiled, the reset and its delay,
several spikes and a bound are constants, so that what is not asked for is not there; the other
options are conditions that do not change along the loop. A neuron by itself is no such loop: its is
generated from its definition.

Coefficients are (8, P) in the order of ``rule.COEFFICIENTS``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .compiled import compiled, inlined
from .rule import RESETS

Array = npt.NDArray[Any]

NO_FIRE, ZERO, VALUE, SUBTRACT, NONE, HOLD, CARRY, LOWER = range(len(RESETS))


@compiled
def fires(u: Any, threshold: Any, strict: bool, zero: Any, one: Any) -> Any:
    """One where ``u`` passes the threshold or, if not ``strict``, meets it; else zero."""
    return one if (u > threshold or (u == threshold and not strict)) else zero


@compiled
def sent(u: Any, threshold: Any, strict: bool, many: bool, zero: Any, one: Any) -> Any:
    """The spikes of a membrane: one at most or, if ``many``, as many as it holds thresholds."""
    if many:
        return np.floor(u / threshold) if u >= threshold else zero
    return fires(u, threshold, strict, zero, one)


@compiled
def at_most(s: Any, many: bool, one: Any) -> Any:
    """One where there are spikes."""
    return min(s, one) if many else s


@compiled
def membrane(
    reset: int,
    early: bool,
    strict: bool,
    many: bool,
    bounded: bool,
    v: Any,
    drive: Any,
    beta: Any,
    threshold: Any,
    target: Any,
    v_min: Any,
    zero: Any,
    one: Any,
) -> tuple[Any, Any]:
    """One update: (output, membrane to carry on).

    ``early``: the reset that a step causes is applied in the next; ``many``: several spikes at
    once; ``bounded``: what is carried on is raised to ``v_min``. ``zero`` and ``one`` are of the
    dtype: a plain number would widen the arithmetic.
    """
    if reset == NO_FIRE:
        u = beta * v + drive
        return u, u
    due = sent(v, threshold, strict, many, zero, one) if early or reset == CARRY else zero
    if early and reset == ZERO:
        v = v * (one - at_most(due, many, one))
    if early and reset == VALUE:
        v = target if due > zero else v
    u = beta * v + drive
    if (early and reset == SUBTRACT) or reset == CARRY:
        u = u - due * threshold
    if early and reset == LOWER:
        u = u - due * target
    if reset == HOLD:
        u = u * (one - at_most(due, many, one))
    s = sent(u, threshold, strict, many, zero, one)
    after = u
    if not early:
        if reset == ZERO:
            after = u * (one - at_most(s, many, one))
        elif reset == VALUE:
            after = target if s > zero else u
        elif reset == SUBTRACT:
            after = u - s * threshold
        elif reset == LOWER:
            after = u - s * target
        elif reset == CARRY:
            after = u - (s - due) * threshold
    if bounded and after < v_min:
        after = v_min
    return s, after


@inlined
def walk(
    reset: int,
    early: bool,
    strict: bool,
    many: bool,
    bounded: bool,
    n: int,
    xs: Array,
    ys: Array,
    vs: Array,
    beta: Array,
    gain: Array,
    leak: Array,
    threshold: Array,
    target: Array,
    v_min: Array,
    zero: Any,
    one: Any,
) -> None:
    """One step of ``n`` membranes ``vs``, in place, that ``xs`` drive: outputs into ``ys``.

    ``ys`` may be ``xs``; nothing else may overlap, and the compiler must be able to see it.
    """
    for k in range(n):
        drive = gain[k] * xs[k] + leak[k]
        ys[k], vs[k] = membrane(
            reset, early, strict, many, bounded, vs[k], drive,
            beta[k], threshold[k], target[k], v_min[k], zero, one,
        )  # fmt: skip
