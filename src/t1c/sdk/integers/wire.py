"""What travels between the nodes of a graph of integers, and the table of rules that make it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from t1c import ir
from t1c.ir.fields import Array


@dataclass(frozen=True)
class Wire:
    """What a node of the new graph sends.

    Attributes:
        node: its name.
        unit: what one stands for; None: it sends real numbers.
        wide: it may be as large as an accumulator, and is no count of spikes.
        port: which of the outputs of the node.
    """

    node: str
    unit: Array | None
    wide: bool = False
    port: int = 0

    @property
    def integer_unit(self) -> Array:
        """The unit of what is known to be integers."""
        assert self.unit is not None
        return self.unit


Rule = Callable[[Any, str, Any, Sequence[Wire]], Sequence[Wire]]
"""Emits what a node becomes, and says what it sends at each output.

Takes the Builder, the name of the node, the node, and what reaches it.
"""

RULES: dict[type[ir.Node], Rule] = {}
"""How each primitive is said in integers."""


def rule_for(*kinds: type[ir.Node]) -> Callable[[Rule], Rule]:
    """Decorator: this is how nodes of these types are said in integers."""

    def enter(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return enter
