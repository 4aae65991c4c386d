"""A sequence in pieces of time, from a tensor or from an iterator that yields single steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from t1c.ir.errors import InputError, Problem

from .input_checks import Inputs

Check = Callable[[Any, int], Inputs]

LATENCY = 256
"""Steps of an iterator that are worked at once at most: results come no later than these."""


class Pieces:
    """Iterates over (number of the first step, inputs of some steps).

    Attributes:
        steps: how many there are in all; None where an iterator does not tell.
    """

    def __init__(self, pieces: Iterator[tuple[int, Inputs]], steps: int | None) -> None:
        self._pieces, self.steps = pieces, steps

    def __iter__(self) -> Iterator[tuple[int, Inputs]]:
        return self._pieces


def cut(xs: Any, check: Check, fitting: Callable[[Inputs], int], chunk: int | None) -> Pieces:
    """The pieces of what a caller passed to ``run``.

    Args:
        xs: tensors (T, B, *shape), or (B, *shape) of an Input that is held still; or an iterator
            over steps (B, *shape).
        check: makes checked inputs (T, B, *shape) of tensors, or (B, *shape) of one step, given how
            many dimensions come before the shape.
        fitting: how many steps of such inputs should be worked at once.
        chunk: what the caller wants instead.

    Raises:
        InputError: the inputs are wrong, or ``chunk`` is not at least 1.
    """
    if chunk is not None and not (hasattr(chunk, "__index__") and chunk >= 1):
        raise InputError(Problem(repr(chunk), "at least 1 step", field="chunk"))
    if is_stream(xs):
        return Pieces(_of_steps(iter(xs), check, fitting, chunk), None)
    inputs = check(xs, 2)
    steps = len(next(iter(inputs.values())))
    # What is captured as a graph is captured whole.
    size = chunk or (steps if torch.compiler.is_compiling() else fitting(inputs))
    return Pieces(_of_tensors(inputs, steps, size), steps)


def is_stream(xs: Any) -> bool:
    """Whether ``xs`` brings its steps one after another."""
    known = isinstance(xs, Tensor | Mapping | tuple | list | str | bytes)
    return not known and hasattr(xs, "__iter__") and not hasattr(xs, "__array__")


def _of_tensors(inputs: Inputs, steps: int, size: int) -> Iterator[tuple[int, Inputs]]:
    if steps <= size:
        yield 0, inputs
        return
    for first in range(0, steps, size):
        yield first, {name: x[first : first + size] for name, x in inputs.items()}


def _of_steps(
    steps: Iterator[Any], check: Check, fitting: Callable[[Inputs], int], chunk: int | None
) -> Iterator[tuple[int, Inputs]]:
    first, size, batch = 0, chunk or 1, None
    waiting: list[Inputs] = []
    for step in steps:
        inputs = check(step, 1)
        found = len(next(iter(inputs.values())))
        if batch is None:
            batch = found
            fits = fitting({name: x.unsqueeze(0) for name, x in inputs.items()})
            size = chunk or min(fits, LATENCY)
        elif found != batch:
            raise InputError(
                Problem(f"steps of batch sizes {batch} and {found}", "one batch size for all steps")
            )
        # A copy: a camera's loop fills the same memory again for its next step.
        waiting.append({name: x.clone() for name, x in inputs.items()})
        if len(waiting) == size:
            yield first, _stacked(waiting)
            first, waiting = first + size, []
    if waiting:
        yield first, _stacked(waiting)
    if batch is None:
        raise InputError(
            Problem(
                "an iterator without a step",
                "at least one",
                "For no steps pass a tensor (0, B, *shape), which tells the batch.",
            )
        )


def _stacked(steps: list[Inputs]) -> Inputs:
    """Single steps as a sequence; the list is emptied, so that they are let go of."""
    stacked = {name: torch.stack([step[name] for step in steps]) for name in steps[0]}
    steps.clear()
    return stacked
