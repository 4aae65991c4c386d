"""The loop of a neuron, written down from its definition."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .. import definition
from ..rule import COEFFICIENTS, Rule
from .gradient import Backward, backward
from .loop import Loop
from .symbol import Pen, Written, written


def neuron(rule: Rule, c: Sequence[Tensor], told: bool = False) -> Written:
    """All steps of a neuron with these coefficients, in the order of ``rule.COEFFICIENTS``.

    With ``told`` its state after every step is written too.
    """
    alone = tuple(n for n, t in enumerate(c) if t.numel() == 1)
    laid = tuple(t for t in c if t.numel() > 1)
    return Written(loop_of(rule, alone, told), laid, tuple(c[n] for n in alone))


@functools.lru_cache(maxsize=1024)
def loop_of(rule: Rule, alone: tuple[int, ...] = (), told: bool = False) -> Loop:
    """The loop that reads its input, writes what it sends, and carries its state.

    Args:
        rule: the options.
        alone: the coefficients that are one number, by number. They are the loop's single
            parameters, and the others its laid ones, each in their order.
        told: behind what it sends, its state after the step is written too.
    """
    pen = Pen(torch.Size((1, 1)), torch.float32, torch.device("cpu"))
    laid = [n for n in range(len(COEFFICIENTS)) if n not in alone]
    c: Any = [
        pen.leaf("single", alone.index(n)) if n in alone else pen.leaf("laid", laid.index(n))
        for n in range(len(COEFFICIENTS))
    ]
    x: Any = pen.leaf("read", 0)
    state: Any = tuple(pen.leaf("carried", n) for n in range(1 + rule.synapse))
    sent: Any
    after: Any
    sent, after = definition.step(x, state, c, rule)
    return written(pen, [sent, *after] if told else [sent], after).loop


@functools.lru_cache(maxsize=1024)
def in_place(rule: Rule) -> Loop:
    """The loop that writes what it sends over its input; all coefficients are laid."""
    return replace(loop_of(rule), over=((0, 0),))


@functools.lru_cache(maxsize=1024)
def back_from_before(rule: Rule, learning: bool) -> Backward:
    """The gradient of a single step, given what the step was given: its input and its state.

    With ``learning`` also that of each coefficient, all of which are laid.
    """
    loop = loop_of(rule)
    given = tuple(p for p, e in enumerate(loop.entries) if e.op in ("read", "carried"))
    return backward(loop, (0,), range(len(COEFFICIENTS)) if learning else (), (), given)
