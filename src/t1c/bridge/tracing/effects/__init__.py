"""What each operation does to axes: which go on, which are cut, joined, reduced or new.

One file for each family of operations; ``effect`` knows them all.
"""

from __future__ import annotations

from ..axes import AxisError, Dims
from ..record import Call
from . import cutting, elementwise, joining, reduction, shape
from .layers import of_module
from .rules import RULES, DimsOf

__all__ = ["DimsOf", "cutting", "effect", "elementwise", "joining", "reduction", "shape"]


def effect(call: Call, dims: DimsOf) -> list[Dims]:
    """The axes of each output of a call.

    Raises:
        AxisError: the operation is not known, or mixes axes that do not go together.
    """
    if call.module is not None:
        return of_module(call, dims)
    plain = call.name if call.name in RULES else call.name.removesuffix("_")
    rule = RULES.get(plain)
    if rule is None:
        raise AxisError(f"torch's {call.name} is nothing that a graph can say")
    return rule(call, dims)
