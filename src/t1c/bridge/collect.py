"""What becomes of the outputs of a sequence that is worked in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from t1c.ir.errors import InputError, Problem

Outputs = Any
"""A tensor (T, B, ...), or a dict of them by Output name."""
Collect = Literal["stack", "sum", "last"] | Callable[[int, Outputs], object]


class Collector(Protocol):
    """Takes the outputs of one chunk after another."""

    def take(self, first: int, steps: int | None, outputs: Outputs) -> None:
        """The outputs from step ``first`` on, of ``steps`` in all if that is known."""

    def result(self) -> Outputs:
        """What is left at the end."""


def collector_for(collect: Collect) -> Collector:
    """The collector for an argument of ``GraphExecutor.run``.

    Raises:
        InputError: there is no such collector.
    """
    if collect == "stack":
        return _Each(_Stack)
    if collect == "sum":
        return _Each(_Sum)
    if collect == "last":
        return _Each(_Last)
    if callable(collect):
        return _HandOver(collect)
    raise InputError(
        Problem(repr(collect), "'stack', 'sum', 'last' or a function", field="collect")
    )


class _Each:
    """One collector for each output."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.parts: Any = None

    def take(self, first: int, steps: int | None, outputs: Outputs) -> None:
        if isinstance(outputs, dict):
            self.parts = self.parts or {name: self.make() for name in outputs}
            for name, y in outputs.items():
                self.parts[name].take(first, steps, y)
        else:
            self.parts = self.parts or self.make()
            self.parts.take(first, steps, outputs)

    def result(self) -> Outputs:
        if isinstance(self.parts, dict):
            return {name: part.result() for name, part in self.parts.items()}
        return self.parts.result()


class _Stack:
    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.whole: Tensor | None = None

    def take(self, first: int, steps: int | None, y: Tensor) -> None:
        # Writing into one tensor is for results without a history.
        if steps is None or len(y) == steps or torch.is_grad_enabled():
            self.parts.append(y)
            return
        if self.whole is None:
            self.whole = y.new_empty((steps, *y.shape[1:]))
        self.whole[first : first + len(y)] = y

    def result(self) -> Tensor:
        if self.whole is not None:
            return self.whole
        return self.parts[0] if len(self.parts) == 1 else torch.cat(self.parts)


class _Sum:
    def __init__(self) -> None:
        self.total: Tensor | None = None

    def take(self, first: int, steps: int | None, y: Tensor) -> None:
        part = y.sum(0)
        self.total = part if self.total is None else self.total + part

    def result(self) -> Tensor | None:
        return self.total


class _Last:
    def __init__(self) -> None:
        self.last: Tensor | None = None

    def take(self, first: int, steps: int | None, y: Tensor) -> None:
        if len(y):
            # A copy: a view would keep the whole chunk.
            self.last = y[-1].clone()

    def result(self) -> Tensor:
        if self.last is None:
            raise InputError(
                Problem("no steps", "at least one, of which the last is returned", field="collect")
            )
        return self.last


class _HandOver:
    def __init__(self, function: Callable[[int, Outputs], object]) -> None:
        self.function = function

    def take(self, first: int, steps: int | None, outputs: Outputs) -> None:
        self.function(first, outputs)

    def result(self) -> None:
        return None
