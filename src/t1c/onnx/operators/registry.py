"""ONNX's operators by name."""

from __future__ import annotations

from collections.abc import Callable

from ..values import Value
from .call import Call

Operator = Callable[[Call], Value | list[Value]]

OPERATORS: dict[str, Operator] = {}
"""ONNX operator -> what makes nodes of it. Constant needs none: what it gives is known."""


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Enter a function under the names of the operators that it understands."""

    def enter(function: Operator) -> Operator:
        for name in names:
            OPERATORS[name] = function
        return function

    return enter
