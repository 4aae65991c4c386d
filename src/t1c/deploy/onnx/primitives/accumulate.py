"""Accumulate."""

from __future__ import annotations

from t1c import ir

from ..registry import translates
from ..writer import Value, Writer


@translates(ir.Accumulate)
def accumulate(
    w: Writer, node: ir.Accumulate, x: Value, state: tuple[Value, ...]
) -> tuple[Value, tuple[Value, ...]]:
    """Take in this step's input."""
    if node.how in ("max", "min"):
        best = w.apply(node.how.capitalize(), state[0], x)
        return best, (best,)
    total = state[0] + x
    if node.how == "sum":
        return total, (total,)
    count = state[1] + 1
    return total / count, (total, count)
