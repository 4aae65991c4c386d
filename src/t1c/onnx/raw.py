"""An ONNX model as plain values, without protocol buffers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c.ir.errors import Problem, T1CFormatError, UnsupportedError
from t1c.ir.fields import Array

from .package import onnx_package


@dataclass(frozen=True)
class OnnxNode:
    """One node of the model.

    Attributes:
        name: what messages call it: its name, or that of its first output.
        op: the operator.
        domain: whose operator it is; '' is ONNX's own.
        inputs: names of values; '' is one that is left out.
        outputs: the same.
        attributes: numbers, text, lists of them, and tensors as arrays.
        proto: what the onnx package calls it.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    proto: Any


@dataclass(frozen=True)
class OnnxInput:
    """An input of the model: the sizes of its axes, and the name of its type of element.

    A size that the file leaves open is None, or the name that the file gives it.
    """

    name: str
    sizes: tuple[int | str | None, ...] | None
    dtype: str


@dataclass(frozen=True)
class OnnxModel:
    """Inputs, constants, nodes in an order in which they can run, and the names of outputs."""

    inputs: tuple[OnnxInput, ...]
    constants: dict[str, Array]
    nodes: tuple[OnnxNode, ...]
    outputs: tuple[str, ...]
    opsets: dict[str, int]
    producer: str


def load(path: str | os.PathLike[str]) -> Any:
    """The ``onnx.ModelProto`` in a file, with the weights that lie in files beside it.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is no ONNX file, or its weights are missing.
    """
    onnx = onnx_package()
    try:
        return onnx.load(os.fspath(path))
    except FileNotFoundError:
        if not os.path.exists(path):
            raise
        raise _unreadable(path, "weights that lie in a file beside it are missing") from None
    except OSError:
        raise
    except Exception as cause:  # the package raises what protocol buffers do, of several kinds
        raise _unreadable(path, f"not an ONNX file, or a damaged one ({cause})") from cause


def plain(model: Any) -> OnnxModel:
    """The plain values of an ``onnx.ModelProto``; functions of the model's own are written out.

    Raises:
        T1CFormatError: the model breaks the rules of ONNX.
        UnsupportedError: it holds tensors that are sparse.
    """
    onnx = onnx_package()
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as cause:
        raise T1CFormatError(
            Problem(f"the model is not valid ONNX: {cause}", remedy="Export it again.")
        ) from cause
    if model.functions:
        model = onnx_package("inliner").inline_local_functions(model)
    graph = model.graph
    if graph.sparse_initializer:
        raise UnsupportedError(
            Problem("sparse weights", "dense ones", "Export the model with dense weights.")
        )
    to_array = onnx_package("numpy_helper").to_array
    constants = {tensor.name: _array(to_array(tensor)) for tensor in graph.initializer}
    return OnnxModel(
        inputs=tuple(_input(value) for value in graph.input if value.name not in constants),
        constants=constants,
        nodes=tuple(_node(node) for node in graph.node),
        outputs=tuple(value.name for value in graph.output),
        opsets={entry.domain or "": int(entry.version) for entry in model.opset_import},
        producer=f"{model.producer_name} {model.producer_version}".strip(),
    )


def _unreadable(path: str | os.PathLike[str], found: str) -> T1CFormatError:
    return T1CFormatError(Problem(found, "an ONNX model", where=os.fspath(path)))


def _input(value: Any) -> OnnxInput:
    onnx = onnx_package()
    tensor = value.type.tensor_type
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type)
    if not tensor.HasField("shape"):
        return OnnxInput(value.name, None, dtype)
    sizes = tuple(
        int(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or None
        for dim in tensor.shape.dim
    )
    return OnnxInput(value.name, sizes, dtype)


def _node(node: Any) -> OnnxNode:
    attributes = {entry.name: _attribute(entry) for entry in node.attribute}
    domain = "" if node.domain == "ai.onnx" else node.domain
    name = node.name or next((f"{node.op_type} of {o!r}" for o in node.output if o), node.op_type)
    return OnnxNode(
        name, node.op_type, domain, tuple(node.input), tuple(node.output), attributes, node
    )


def _attribute(entry: Any) -> Any:
    onnx = onnx_package()
    value = onnx.helper.get_attribute_value(entry)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return _array(onnx_package("numpy_helper").to_array(value))
    return value


def _array(value: Array) -> Array:
    """Half precisions as float32, which holds all of their numbers."""
    narrow = value.dtype == np.float16 or value.dtype.name == "bfloat16"
    return value.astype(np.float32) if narrow else value
