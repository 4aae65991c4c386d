"""What was written, as the message that the onnx package checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from t1c import __version__
from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.fields import Array

from ..ports import Port
from .package import import_onnx
from .ports import StatePort
from .writer import INTEGER, Body, Operation, Writer

OPSET = 18
"""Of the standard operators; onnxruntime runs it since 1.14 (2023)."""
IR_VERSION = 8
"""Of the file, as it goes with the opset."""
LIMIT = 2**31 - 1
"""The bytes that a message of protobuf may have."""


def model_of(
    w: Writer,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    states: Sequence[StatePort],
    given: Mapping[str, Array],
    notes: Mapping[str, str],
) -> Any:
    """The model, an ``onnx.ModelProto``, checked in full.

    Args:
        w: what its graph does.
        inputs: what must be given, but for those in ``given``.
        outputs: what comes out.
        states: which go in and come out; where none is given, that at rest is taken.
        given: the values of inputs that need not be given.
        notes: metadata.

    Raises:
        UnsupportedError: it is larger than a file of ONNX may be.
    """
    size = sum(array.nbytes for array in w.shared.constants.values())
    if size > LIMIT - 2**20:
        found = f"{size / 2**30:.1f} GiB of constants"
        raise UnsupportedError(Problem(found, "less than 2 GiB, which a file of ONNX may hold"))
    onnx = import_onnx()
    helper, dtype = onnx.helper, w.dtype

    def info(name: str, kind: np.dtype[Any], shape: Iterable[int | str | None]) -> Any:
        element = helper.np_dtype_to_tensor_dtype(kind)
        return helper.make_tensor_value_info(name, element, list(shape))

    shared = w.shared
    start = {port.name: port.rest for port in states} | dict(given)
    stored = shared.constants | start
    entries = [
        info(p.name, given[p.name].dtype if p.name in given else _kind(p, dtype), p.shape)
        for p in inputs
    ]
    # The batch of a state has no name: that of one sample is laid over any other.
    entries += [info(p.name, dtype, (None, *p.shape)) for p in states]
    graph = helper.make_graph(
        [_node(onnx, operation, dtype) for operation in [*shared.prelude, *w.operations]],
        "t1c",
        entries,
        [info(p.name, dtype, p.shape) for p in outputs]
        + [info(p.next_name, dtype, ("B", *p.shape)) for p in states],
        [onnx.numpy_helper.from_array(np.asarray(a, order="C"), n) for n, a in stored.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="t1c",
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(notes))
    onnx.checker.check_model(model, full_check=True)
    return model


def _kind(port: Port, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Without an axis it is a number of steps."""
    return dtype if port.shape else INTEGER


def _node(onnx: Any, operation: Operation, dtype: np.dtype[Any]) -> Any:
    attributes = {
        name: _graph(onnx, value, dtype)
        if isinstance(value, Body)
        else onnx.helper.np_dtype_to_tensor_dtype(value)
        if isinstance(value, np.dtype)
        else value
        for name, value in operation.attributes.items()
    }
    return onnx.helper.make_node(
        operation.kind, operation.inputs, operation.outputs, operation.name, **attributes
    )


def _graph(onnx: Any, body: Body, dtype: np.dtype[Any]) -> Any:
    helper = onnx.helper

    def info(name: str, kind: np.dtype[Any]) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(kind), None)

    return helper.make_graph(
        [_node(onnx, operation, dtype) for operation in body.operations],
        body.name,
        [info(name, kind) for name, kind in body.inputs],
        [info(name, dtype) for name in body.outputs],
    )
