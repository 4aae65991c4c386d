"""Gemm and MatMul: ``Affine``, ``Linear`` and ``MatMul``."""

from __future__ import annotations

import numpy as np

from t1c import ir

from ..values import Signal
from .call import Call
from .registry import operator


@operator("Gemm")
def gemm(call: Call) -> Signal:
    """Alpha * A B + beta * C, where A is the signal, and B and C are known."""
    x, weight, bias = call.signal(0), call.known(1), call.known(2)
    alpha, beta = call.attributes("alpha", 1.0), call.attributes("beta", 1.0)
    call.attributes.must("transA", 0, "it would swap the batch and the features")
    if not call.attributes("transB", 0):
        weight = weight.T
    if alpha != 1:
        weight = weight * weight.dtype.type(alpha)
    weight = np.ascontiguousarray(weight)
    if bias is None:
        return call.add(ir.Linear(weight), x)
    if bias.ndim == 2 and bias.shape[0] != 1:
        raise call.refuse(f"C of shape {bias.shape}, which differs between samples", "one row")
    bias = np.broadcast_to(bias.reshape(-1), weight.shape[:1])
    return call.add(ir.Affine(weight, np.ascontiguousarray(bias * bias.dtype.type(beta))), x)


@operator("MatMul")
def matmul(call: Call) -> Signal:
    """A signal times a known matrix over its last axis, or two signals over their last two."""
    a, b = call.value(0), call.value(1)
    if isinstance(a, Signal) and isinstance(b, Signal):
        if min(a.rank, b.rank) < 3:
            raise call.refuse(
                f"signals of shapes (batch, {_listed(a)}) and (batch, {_listed(b)}) are multiplied "
                "as matrices, the batch among their axes",
                "at least two axes of features in both",
            )
        return call.add(ir.MatMul(), a, b)
    if not isinstance(a, Signal):
        raise call.refuse("a known matrix times a signal", "the signal first")
    weight = call.known(1)
    if weight.ndim != 2:
        raise call.refuse(f"a known factor of shape {weight.shape}", "a matrix (in, out)")
    return call.add(ir.Linear(np.ascontiguousarray(weight.T)), a)


def _listed(signal: Signal) -> str:
    return ", ".join(map(str, signal.shape))
