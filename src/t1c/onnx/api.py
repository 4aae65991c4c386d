"""The functions that make a graph of an ONNX model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from t1c import ir
from t1c.ir.errors import Problem, T1CError, UnsupportedError

from .importer import Importer, checked_shapes
from .raw import load, plain

OPSETS = range(7, 24)
"""The versions of ONNX's operators whose meaning is known here."""

KEY = "onnx"
"""Where a graph keeps in its metadata which model it came from."""


def read(
    path: str | os.PathLike[str], *, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> ir.Graph:
    """Read a ``.onnx`` file of a network without memory, such as a CNN or an MLP.

    The first axis of every tensor is the batch, whatever size the file gives it; shapes of the
    graph do not have it. Nodes have the names of the model's nodes, with dots for slashes.

    Args:
        path: the file.
        input_shapes: input -> its shape without the batch, where the file leaves sizes open.

    Returns:
        The graph; it computes what the model does, up to rounding. ``metadata['onnx']`` says the
        opset and the producer.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is no ONNX model, or not a valid one.
        UnsupportedError: the onnx package is not installed, or the model holds what a graph cannot
            say: which node, which attribute, and what would help.

    Example:
        >>> graph = read("model.onnx")  # doctest: +SKIP
    """
    model = load(path)
    try:
        return from_onnx(model, input_shapes=input_shapes)
    except T1CError as error:
        heading = f"{os.fspath(path)}: {error.heading}" if error.heading else os.fspath(path)
        raise type(error)(error.problems, heading) from None


def from_onnx(model: Any, *, input_shapes: Mapping[str, Sequence[int]] | None = None) -> ir.Graph:
    """Import an ``onnx.ModelProto`` in memory; everything else as for ``read``.

    Example:
        >>> import numpy as np
        >>> from onnx import TensorProto, helper
        >>> model = helper.make_model(
        ...     helper.make_graph(
        ...         [helper.make_node("Relu", ["x"], ["y"])], "small",
        ...         [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        ...         [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        ...     ),
        ...     opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
        ... )
        >>> graph = from_onnx(model)
        >>> print(ir.Reference(graph).run(np.array([[[-1.0, 0.0, 2.0]]]))[0])
        [[[0. 0. 2.]]]
    """
    raw = plain(model)
    opset = raw.opsets.get("", 0)
    if opset not in OPSETS:
        raise UnsupportedError(
            Problem(
                f"opset {opset}" if opset else "no opset of ONNX's own operators",
                f"opsets {OPSETS[0]} to {OPSETS[-1]}",
                "Export the model with one of these, or convert it: onnx.version_converter.",
            )
        )
    graph = Importer(raw, opset, checked_shapes(raw, input_shapes or {})).run()
    graph.metadata[KEY] = {"opset": opset, "producer": raw.producer}
    return graph
