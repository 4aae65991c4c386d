"""What becomes of the outputs of a sequence that is worked in chunks, and of what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from t1c.ir.errors import InputError, Problem

from .recording import Recorded

Outputs = Any
"""A tensor (T, B, ...), or a dict of them by Output name."""
Collect = Literal["stack", "sum", "last"] | Callable[..., object]


class Collector(Protocol):
    """Takes the outputs of one chunk after another."""

    def take(
        self, first: int, steps: int | None, outputs: Outputs, recorded: Recorded | None
    ) -> None:
        """The outputs from step ``first`` on, of ``steps`` in all if that is known.

        ``recorded``: what was recorded in these steps; None where nothing was to be.
        """

    def result(self) -> Outputs:
        """What is left of the outputs at the end."""

    def records(self) -> Recorded | None:
        """What is left of what was recorded; None where it was handed on."""


def collector_for(
    collect: Collect | None,
    outputs: Collection[str],
    final: Collection[str],
    in_order: bool = False,
) -> Collector:
    """The collector for an argument of ``GraphExecutor.run``.

    Args:
        collect: the argument; None for what each output says, and all steps of what is recorded.
        outputs: the names of the outputs.
        final: those of them whose answer is the value at the last step.
        in_order: whether a sum is taken one step after another.

    Raises:
        InputError: there is no such collector.
    """
    makers: dict[Any, Callable[[], _Part]] = {
        "stack": _Stack,
        "sum": lambda: _Sum(in_order),
        "last": _Last,
    }
    if collect is None:
        return _Each({name: _Last() if name in final else _Stack() for name in outputs}, _Stack)
    if isinstance(collect, str) and collect in makers:
        return _Each({name: makers[collect]() for name in outputs}, makers[collect])
    if callable(collect):
        return _HandOver(collect)
    raise InputError(
        Problem(repr(collect), "'stack', 'sum', 'last' or a function", field="collect")
    )


class _Part(Protocol):
    """Takes what one output sent, chunk after chunk."""

    def take(self, first: int, steps: int | None, y: Tensor) -> None:
        """As of ``Collector``."""

    def result(self) -> Any:
        """As of ``Collector``."""


class _Each:
    """One collector for each output, and for each port of what is recorded."""

    def __init__(self, parts: dict[str, _Part], record: Callable[[], _Part]) -> None:
        self.parts, self.record = parts, record
        self.single = True
        self.recorded: dict[str, _Part | list[_Part]] = {}

    def take(
        self, first: int, steps: int | None, outputs: Outputs, recorded: Recorded | None
    ) -> None:
        self.single = not isinstance(outputs, dict)
        for name, part in self.parts.items():
            part.take(first, steps, outputs if self.single else outputs[name])
        for name, value in (recorded or {}).items():
            if isinstance(value, tuple):
                ports = self.recorded.setdefault(name, [self.record() for _ in value])
                assert isinstance(ports, list)
                for port, y in zip(ports, value, strict=True):
                    port.take(first, steps, y)
            else:
                one = self.recorded.setdefault(name, self.record())
                assert not isinstance(one, list)
                one.take(first, steps, value)

    def result(self) -> Outputs:
        results = {name: part.result() for name, part in self.parts.items()}
        return next(iter(results.values())) if self.single else results

    def records(self) -> Recorded:
        return {
            name: tuple(port.result() for port in part) if isinstance(part, list) else part.result()
            for name, part in self.recorded.items()
        }


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
    def __init__(self, in_order: bool) -> None:
        self.total: Tensor | None = None
        self.in_order = in_order

    def take(self, first: int, steps: int | None, y: Tensor) -> None:
        for part in y if self.in_order and len(y) else (y.sum(0),):
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
    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function

    def take(
        self, first: int, steps: int | None, outputs: Outputs, recorded: Recorded | None
    ) -> None:
        self.function(first, outputs, *(() if recorded is None else (recorded,)))

    def result(self) -> None:
        return None

    def records(self) -> None:
        return None
