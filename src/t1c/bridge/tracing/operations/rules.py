"""The table of operations: name -> what it is in a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..drawing import Signal
from ..names import plain_name

if TYPE_CHECKING:
    from ..bench import Bench

Rule = Callable[["Bench"], "Signal | Sequence[Signal]"]

_RULES: dict[str, Rule] = {}


def rule(names: str) -> Callable[[Rule], Rule]:
    """Decorator: the function says what operations of these names are."""

    def register(function: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names.split(), function))
        return function

    return register


def rule_of(name: str) -> Rule | None:
    """What an operation is, whichever way it is written."""
    return _RULES.get(name) or _RULES.get(plain_name(name))
