"""ChannelSplit: one value in, several out."""

from __future__ import annotations

from t1c import ir
from t1c.ir.primitives.merge import feature_dim

from ..registry import translates
from ..writer import Value, Writer


@translates(ir.ChannelSplit)
def split(w: Writer, node: ir.ChannelSplit, x: Value) -> tuple[Value, ...]:
    """Cut."""
    axis = 1 + feature_dim(node.dim, len(x.shape))
    sections = w.integers(*node.split_sections)
    return w.several("Split", [x, sections], node.port_shapes(x.shape), axis=axis)
