"""Comparisons and choices: what fires, and what depends on it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from t1c import ir

from ...modules.exporting import refuse
from ..drawing import Signal
from ..effects.rules import argument
from ..record import Value
from .operands import binary, operands
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


def _fires(b: Bench, x: Any, y: Any, at: str) -> Signal:
    """1 where x > y (at='gt') or x >= y ('ge')."""
    if b.is_constant(y):
        return _above(b, b.stretched(x), b.laid(y), y, at)
    if b.is_constant(x):
        # x > y is -y > -x: a change of sign is exact.
        minus = b.emit(ir.Scale(b.scalar(-1)), b.stretched(y))
        return _above(b, minus, -b.laid(x), x, at)
    return binary(b, "greater" if at == "gt" else "greater_or_equal", x, y)


def _above(b: Bench, x: Signal, threshold: Any, item: Any, at: str) -> Signal:
    """1 where a signal is above a constant; one that trains is taken off, as a Shift learns."""
    if not b.trains(item):
        return b.emit(ir.Threshold(threshold, at), x)
    potential = b.emit(ir.Shift(-threshold), x, out_of={"shift": item})
    return b.emit(ir.Threshold(b.scalar(0), at), potential)


@rule("gt")
def _greater(b: Bench) -> Signal:
    return _fires(b, *operands(b), "gt")


@rule("ge")
def _at_least(b: Bench) -> Signal:
    return _fires(b, *operands(b), "ge")


@rule("lt")
def _less(b: Bench) -> Signal:
    x, y = operands(b)
    return _fires(b, y, x, "gt")


@rule("le")
def _at_most(b: Bench) -> Signal:
    x, y = operands(b)
    return _fires(b, y, x, "ge")


@rule("eq")
def _equal(b: Bench) -> Signal:
    return binary(b, "equal", *operands(b))


@rule("ne")
def _unequal(b: Bench) -> Signal:
    return negated(b, binary(b, "equal", *operands(b)))


def negated(b: Bench, x: Signal) -> Signal:
    """1 where there was 0, and 0 where there was 1."""
    minus = b.emit(ir.Scale(b.scalar(-1)), x, features=x.features)
    return b.emit(ir.Shift(b.scalar(1)), minus, features=x.features)


@rule("invert")
def _invert(b: Bench) -> Signal:
    return negated(b, _truth(b, b.call.args[0]))


def _truth(b: Bench, value: Value) -> Signal:
    """A value as 0 or 1."""
    signal = b.stretched(value)
    if value.tensor.dtype == torch.bool:
        return signal
    raise refuse(f"a truth of {value.tensor.dtype}", "booleans, as comparisons give them")


@rule("and")
def _and(b: Bench) -> Signal:
    x, y = operands(b)
    return _logical(b, x, y, "multiply")


@rule("or")
def _or(b: Bench) -> Signal:
    x, y = operands(b)
    return _logical(b, x, y, "maximum")


def _logical(b: Bench, x: Any, y: Any, op: str) -> Signal:
    for value in (x, y):
        if isinstance(value, Value) and value.tensor.dtype != torch.bool:
            raise refuse(f"& or | of {value.tensor.dtype}", "booleans, as comparisons give them")
    return binary(b, op, x, y)


@rule("heaviside")
def _heaviside(b: Bench) -> Signal:
    x, at_zero = b.call.args[0], argument(b.call, 1, "values")
    number = b.number(at_zero) if b.is_constant(at_zero) else None
    if number not in (0, 1):
        raise refuse("heaviside with other values at 0 than 0 or 1", "0 (x > 0) or 1 (x >= 0)")
    return b.emit(ir.Threshold(b.scalar(0), "ge" if number else "gt"), b.stretched(x))


@rule("where")
def _where(b: Bench) -> Signal:
    if len(b.call.args) < 3:
        raise refuse("torch.where with one argument", "where(condition, a, b)")
    return chosen(b, *b.call.args[:3])


@rule("masked_fill")
def _masked_fill(b: Bench) -> Signal:
    x, mask, value = (argument(b.call, i, n) for i, n in enumerate(("input", "mask", "value")))
    return chosen(b, mask, value, x)


def chosen(b: Bench, condition: Any, yes: Any, no: Any) -> Signal:
    """One of two values, or constants, by a condition: a value, or a signal that is there."""
    drawn = isinstance(condition, Signal)
    if not drawn and b.is_constant(condition):
        raise refuse("a constant condition", "one that comes from the input", "Choose in Python.")
    told = condition if drawn else b.signal(condition)
    flows = [told, *(b.signal(v) for v in (yes, no) if not b.is_constant(v))]
    rank = max(len(s.features) for s in flows)
    like = b.ranked(max(flows, key=lambda s: math.prod(s.features)), rank)
    constants = (v for v in (yes, no) if isinstance(v, Value) and v.constant)
    if any(v.tensor.numel() > 1 for v in constants) and len(like.features) <= len(b.out()):
        like = b.copied(like, b.out())
    parts = [
        b.constant(v, like) if b.is_constant(v) else b.ranked(b.signal(v), rank) for v in (yes, no)
    ]
    return b.emit(ir.Where(), *b.apart(b.ranked(told, rank), *parts))
