"""Nodes of an ONNX model that depend on no input: what they give is known when the model is read.

Exporters write weights out of other weights (a Transpose in front of a MatMul), and shapes out of
small numbers. The onnx package's own definition of each operator computes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.fields import Array

from .package import onnx_package
from .raw import OnnxNode
from .values import Value

CHANCE = (
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
)


def folded(
    node: OnnxNode, inputs: Sequence[Value | None], opsets: Mapping[str, int]
) -> list[Array] | None:
    """What a node gives, if all that it takes is known; else None.

    Raises:
        UnsupportedError: it draws random numbers, or cannot be computed.
    """
    if any(not isinstance(value, np.ndarray) for value in inputs if value is not None):
        return None
    if node.op in CHANCE:
        raise UnsupportedError(Problem("it draws random numbers", "what is always the same"))
    named = {
        name: value for name, value in zip(node.inputs, inputs, strict=True) if value is not None
    }
    evaluator: Any = onnx_package("reference").ReferenceEvaluator
    try:
        results = evaluator(node.proto, opsets=dict(opsets)).run(None, named)
    except Exception as cause:  # whatever an operator's definition raises
        raise UnsupportedError(Problem(f"it cannot be computed ({cause})")) from cause
    return [np.asarray(result) for result in results]
