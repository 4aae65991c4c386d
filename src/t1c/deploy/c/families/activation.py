"""Activation functions of each element by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

from t1c import ir

from ..element import Element
from ..loop import summed
from ..registry import element_by_element
from ..term import Term


@element_by_element(ir.ReLU)
def relu(e: Element, node: ir.ReLU, terms: Sequence[Term]) -> Term:
    """Rectify."""
    x = summed(terms)
    if not node.negative_slope:
        return x.maximum(0)
    return (x > 0).where(x, x * node.negative_slope)


@element_by_element(ir.Sigmoid)
def sigmoid(e: Element, node: ir.Sigmoid, terms: Sequence[Term]) -> Term:
    """Squash to (0, 1)."""
    return summed(terms).call("t1c_sigmoid")


@element_by_element(ir.Tanh)
def tanh(e: Element, node: ir.Tanh, terms: Sequence[Term]) -> Term:
    """Squash to (-1, 1)."""
    return summed(terms).call("t1c_tanh")


@element_by_element(ir.GELU)
def gelu(e: Element, node: ir.GELU, terms: Sequence[Term]) -> Term:
    """Weigh by the normal distribution."""
    x = summed(terms)
    if not node.approximate:
        return x.call("t1c_gelu")
    gate = (math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))).call("t1c_tanh")
    return 0.5 * x * (1 + gate)


@element_by_element(ir.ELU)
def elu(e: Element, node: ir.ELU, terms: Sequence[Term]) -> Term:
    """Bend below zero."""
    x = summed(terms)
    return (x > 0).where(x, node.alpha * x.minimum(0).call("t1c_expm1"))


@element_by_element(ir.PReLU)
def prelu(e: Element, node: ir.PReLU, terms: Sequence[Term]) -> Term:
    """Rectify with a slope per channel."""
    x = summed(terms)
    weight = node.weight.astype(e.loop.dtype)
    laid = weight.reshape(-1, *[1] * (len(e.shape) - 1)) if weight.size > 1 else weight.reshape(())
    return (x > 0).where(x, e.laid(laid, "weight") * x)
