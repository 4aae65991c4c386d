"""The rules by the operation's name, and how they read its arguments.

A rule takes the call and the axes of its inputs, and returns the axes of each of its outputs. What
it says is about axes of any kind; whether time or batch may be among them is judged by the nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..axes import Dims
from ..record import Call, Value

DimsOf = Callable[[Value], Dims]
Rule = Callable[[Call, DimsOf], "list[Dims]"]

RULES: dict[str, Rule] = {}


def rule(names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operations of these names."""

    def register(one: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), one))
        return one

    return register


def argument(call: Call, position: int, name: str, default: Any = None) -> Any:
    """An argument by place or name."""
    if name in call.kwargs:
        return call.kwargs[name]
    return call.args[position] if len(call.args) > position else default
