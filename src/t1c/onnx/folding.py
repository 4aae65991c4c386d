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


MOST = 2**26
"""As many numbers a node may make of fewer."""


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
    if _grown(node.op, [value for value in inputs if isinstance(value, np.ndarray)]) > MOST:
        raise UnsupportedError(Problem(f"it makes more than {MOST} numbers", "weights in the file"))
    named = {
        name: value
        for name, value in zip(node.inputs, inputs, strict=True)
        if isinstance(value, np.ndarray)
    }
    evaluator: Any = onnx_package("reference").ReferenceEvaluator
    helper: Any = onnx_package("helper")
    arrays = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in named.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.outputs if name]
    versions = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    # A node by itself would be taken for one of the latest opset.
    alone = helper.make_graph([node.proto], "folded", arrays, outputs)
    try:
        results = evaluator(helper.make_model(alone, opset_imports=versions)).run(None, named)
    except Exception as cause:  # whatever an operator's definition raises
        raise UnsupportedError(Problem(f"it cannot be computed ({cause})")) from cause
    given = iter(results)
    return [np.asarray(next(given) if name else ()) for name in node.outputs]


def _grown(op: str, inputs: Sequence[Array]) -> float:
    """How many numbers an operator gives that may give many for few."""
    sizes = [value.astype(np.float64).ravel() for value in inputs]
    if op == "ConstantOfShape":
        return float(sizes[0].prod())
    if op in ("Expand", "Tile"):
        return float(sizes[1].prod() * (inputs[0].size if op == "Tile" else 1))
    if op == "Range":
        start, stop, step = (float(size[0]) for size in sizes)
        return abs((stop - start) / step) if step else 0.0
    return 0.0
