"""Weighted sums of features."""

from __future__ import annotations

from t1c import ir
from t1c.ir.fields import Array

from ..registry import translates
from ..writer import Value, Writer


@translates(ir.Affine, ir.SpikingAffine)
def affine(w: Writer, node: ir.Affine | ir.SpikingAffine, x: Value) -> Value:
    """W x + b."""
    return dense(w, x, node.weight, node.bias)


@translates(ir.Linear)
def linear(w: Writer, node: ir.Linear, x: Value) -> Value:
    """W x."""
    return dense(w, x, node.weight, None)


def dense(w: Writer, x: Value, weight: Array, bias: Array | None) -> Value:
    """Over the last feature axis: a Gemm where it is the only one."""
    w.finite(weight, "weight")
    shape = (*x.shape[:-1], len(weight))
    added = [] if bias is None else [w.parameter(bias, "bias")]
    if len(shape) == 1:
        return w.op("Gemm", x, w.parameter(weight, "weight"), *added, shape=shape, transB=1)
    y = w.op("MatMul", x, w.parameter(weight.T, "weight"), shape=shape)
    return y + added[0] if added else y
