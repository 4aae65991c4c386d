"""Several features become one."""

from __future__ import annotations

from t1c import ir

from ..registry import translates
from ..writer import Value, Writer


@translates(ir.Reduce)
def reduce(w: Writer, node: ir.Reduce, x: Value) -> Value:
    """The sum, mean, max or min over feature axes."""
    y = w.over(f"Reduce{node.how.capitalize()}", x, node.along(len(x.shape)))
    return w.reshape(y, node.output_shape(x.shape))
