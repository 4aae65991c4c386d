"""Accumulate: what a signal amounts to so far."""

from __future__ import annotations

from collections.abc import Sequence

from t1c import ir
from t1c.ir.primitives.accumulate import REST

from ..element import Element
from ..loop import summed
from ..registry import element_by_element
from ..term import Term


@element_by_element(ir.Accumulate)
def accumulate(e: Element, node: ir.Accumulate, terms: Sequence[Term]) -> Term:
    """Take in this step's input."""
    x = summed(terms)
    if node.how in ("max", "min"):
        best = e.carried("best", rest=REST[node.how])
        best = best.maximum(x) if node.how == "max" else best.minimum(x)
        e.carry("best", best)
        return best
    total = e.carried("total") + x
    e.carry("total", total)
    if node.how == "sum":
        return total
    # One count for all elements, which the step adds to once.
    count = e.state("count", size=1)
    name = e.loop.once(f"{count}[0] + {e.loop.real(e.loop.number(1)).text}")
    e.loop.after.append(f"{count}[0] = {name.text};")
    return total / name
