"""Where several paths meet."""

from __future__ import annotations

from collections.abc import Sequence

from t1c import ir
from t1c.ir.primitives.merge import feature_dim, joined_shape

from ..registry import translates
from ..writer import Value, Writer


def joined(w: Writer, inputs: Sequence[Value], dim: int) -> Value:
    """One behind the other along a feature axis."""
    shapes = [value.shape for value in inputs]
    axis = 1 + feature_dim(dim, len(shapes[0]))
    return w.op("Concat", *inputs, shape=joined_shape(shapes, dim), axis=axis)


def met(w: Writer, node: ir.Skip, inputs: Sequence[Value]) -> Value:
    """Join along the first feature axis, or add."""
    if node.skip_type == "concatenate":
        return joined(w, inputs, 0)
    total = inputs[0]
    for value in inputs[1:]:
        total = total + value
    return total


def in_a_row(w: Writer, node: ir.Concat, inputs: Sequence[Value]) -> Value:
    """Join."""
    return joined(w, inputs, node.dim)


def passing(w: Writer, node: ir.Node, x: Value) -> Value:
    """Pass on what was joined."""
    return x


translates(ir.Skip, merge=met)(passing)
translates(ir.Concat, merge=in_a_row)(passing)
