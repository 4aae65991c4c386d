"""Nodes that rearrange or resize features."""

from __future__ import annotations

from t1c import ir
from t1c.ir.primitives.merge import feature_dim

from ..registry import translates
from ..writer import Value, Writer


@translates(ir.Flatten, ir.Reshape)
def reshape(w: Writer, node: ir.Flatten | ir.Reshape, x: Value) -> Value:
    """Lay the features out as another shape."""
    return w.reshape(x, node.output_shape(x.shape))


@translates(ir.Transpose)
def transpose(w: Writer, node: ir.Transpose, x: Value) -> Value:
    """Permute."""
    perm = [0, *(1 + axis for axis in node.order)]
    return w.op("Transpose", x, shape=node.output_shape(x.shape), perm=perm)


@translates(ir.Slice)
def take(w: Writer, node: ir.Slice, x: Value) -> Value:
    """Take some along one axis."""
    axis = feature_dim(node.axis, len(x.shape), "axis")
    start, stop, step = node.taken.indices(x.shape[axis])
    ends = w.integers(start), w.integers(stop), w.integers(1 + axis), w.integers(step)
    return w.op("Slice", x, *ends, shape=node.output_shape(x.shape))


@translates(ir.Upsample)
def upsample(w: Writer, node: ir.Upsample, x: Value) -> Value:
    """Pick or mix neighbours along H, then along W, at the places that ``t1c.ir`` picks."""
    for axis, target in enumerate(node.output_shape(x.shape)[1:]):
        size = x.shape[1 + axis]
        if node.mode == "nearest":
            x = _picked(w, x, node.nearest(size, target).tolist(), axis)
            continue
        low, high, share = node.linear(size, target)
        over = share.astype(w.dtype).reshape(-1, *[1] * (1 - axis))
        lower, upper = (_picked(w, x, index.tolist(), axis) for index in (low, high))
        x = lower * w.constant(1 - over, "rest") + upper * w.constant(over, "share")
    return x


def _picked(w: Writer, x: Value, index: list[int], axis: int) -> Value:
    """Elements along H (0) or W (1)."""
    shape = (*x.shape[: 1 + axis], len(index), *x.shape[2 + axis :])
    return w.op("Gather", x, w.integers(*index), shape=shape, axis=2 + axis)
