"""``batch-axis``: shapes and parameters carry the batch of the sample that was exported with.

An exporter that takes a sample's shape for the network's writes ``Input((1, 12))`` in front of an
Affine of 12 inputs, and a neuron's parameters come out as (1, 38) where it was asked for its state.
How many dimensions there are without a batch is told by the weights and kernels of the graph.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from t1c.ir.fields import Array

from ..crossings import Parameter
from ..primitives import PRIMITIVES
from ..raw import NirGraph, NirNode
from .ranks import FIXED, ranks, without_batch
from .repair import Remarks, Repair

WEIGHTS = {"Affine": {"weight": 2, "bias": 1}, "Linear": {"weight": 2}, "Conv1d": {"bias": 1},
           "Conv2d": {"bias": 1}}  # fmt: skip
"""NIR type -> the dimensions of those of its fields that may carry a batch axis by mistake."""


def mend(raw: NirGraph) -> tuple[NirGraph, Remarks]:
    """The graph without the leading 1 of every shape and parameter that has one axis too many."""
    remarks: Remarks = []
    return _graph(raw, "", ranks(raw), remarks), remarks


def _graph(raw: NirGraph, path: str, known: dict[str, int], remarks: Remarks) -> NirGraph:
    nodes: dict[str, NirNode | NirGraph] = {}
    for name, node in raw.nodes.items():
        place = path + name
        if isinstance(node, NirGraph):
            nodes[name] = _graph(node, f"{place}/", known, remarks)
        else:
            fields = {n: _field(node, n, v, known.get(place)) for n, v in node.fields.items()}
            for field, (before, after) in fields.items():
                if after is not before:
                    remarks.append(
                        f"{node.type} {place!r}, {field!r}: {_said(field, before)} became "
                        f"{_said(field, after)}."
                    )
            nodes[name] = replace(node, fields={n: after for n, (_, after) in fields.items()})
    return replace(raw, nodes=nodes)


def _field(node: NirNode, name: str, value: Any, rank: int | None) -> tuple[Any, Any]:
    """A field before and after."""
    entry = PRIMITIVES.get(node.type)
    if entry is None or not isinstance(value, np.ndarray):
        return value, value
    stripped: Array | None = None
    if name in WEIGHTS.get(node.type, {}):
        stripped = without_batch(value, WEIGHTS[node.type][name])
    elif name in ("shape", "input_type") and name == entry.shape and value.ndim == 1:
        # A shape is as long as what it describes has dimensions.
        if rank is not None and value.size == rank + 1 and value[0] == 1:
            stripped = value[1:].copy()
    elif node.type not in FIXED and _is_parameter(node, name):
        stripped = without_batch(value, rank)
    return value, value if stripped is None else stripped


def _is_parameter(node: NirNode, name: str) -> bool:
    entry = PRIMITIVES[node.type]
    fields = {field.name for field in entry.fields if isinstance(field, Parameter)}
    return name in fields or (entry.fires and name == "v_reset")


def _said(field: str, value: Array) -> str:
    return str(tuple(value.tolist()) if field in ("shape", "input_type") else value.shape)


BATCH_AXIS = Repair(
    "batch-axis",
    "Inputs or parameters carry the axis of a batch, a leading 1",
    mend,
    # An Affine works on the last axis, so that (1, 12) may pass through it, as a network of
    # another shape.
    quiet=True,
)
