"""What a graph is, as 64 hexadecimal digits.

The fingerprint is the SHA-256 of a canonical form: JSON with sorted keys, in which an array is told
by its shape, dtype and the SHA-256 of its numbers. Two graphs have the same fingerprint if they
have the same nodes by name, with the same fields, and the same edges into each in the same order.

What counts: names, primitives, fields, the dtype of an array as stored (``Node.equals`` counts it
too), the order of the edges into a node, which output of its source each of them takes, which run
back in time, the order of the Inputs and Outputs of a nested graph, shapes. What does not: the
order of nodes, metadata, byte order and memory layout, the payload of a NaN, whether a shape was
declared or inferred, whether an edge that runs back was stated or follows from the rule, and fields
of later versions that hold their default, so that a fingerprint outlives a version of the format.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from .fields import Array
from .graph import Graph
from .hdf5_layout import unused_fields
from .node import Node
from .shapes import as_shape

SCHEME = "t1c-1"
"""Names the canonical form; it changes with it, so that no two forms are compared."""


def fingerprint(graph: Graph, weights: bool = True) -> str:
    """The fingerprint of a graph, 64 hexadecimal digits.

    Args:
        graph: the graph.
        weights: count the numbers in arrays and their dtypes; if not, only their shapes.

    Raises:
        GraphError: which edges run back cannot be decided.
    """
    return _digest(canonical_form(graph, weights=weights))


def fingerprint_node(node: Node, weights: bool = True) -> str:
    """The fingerprint of one node by itself, wherever it stands and whatever its name."""
    return _digest(json.dumps({"scheme": SCHEME, "node": _node(node, weights)}, sort_keys=True))


def canonical_form(graph: Graph, *, weights: bool = True) -> str:
    """The text of which a fingerprint is the SHA-256."""
    form = {
        "scheme": SCHEME,
        "weights": weights,
        "graph": _graph(graph, weights),
        # Of the whole, because the rule looks into nested graphs.
        "feedback": sorted(map(list, graph.feedback_edges())),
    }
    return json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(form: str) -> str:
    return hashlib.sha256(form.encode()).hexdigest()


def _graph(graph: Graph, weights: bool) -> dict[str, Any]:
    before, ports = graph.topology().before, graph.ports()
    return {
        name: {**_node(node, weights), "from": [[s, ports[s, name]] for s in before[name]]}
        for name, node in graph.nodes.items()
    }


def _node(node: Node, weights: bool) -> dict[str, Any]:
    if isinstance(node, Graph):
        return {
            "type": "Graph",
            "nodes": _graph(node, weights),
            # An edge into a nested graph, or out of it, takes a place in this order.
            "inputs": list(node.inputs()),
            "outputs": list(node.outputs()),
        }
    unused = unused_fields(node)
    return {
        "type": node.primitive,
        "fields": {
            name: _field(value, weights)
            for name, value in node.values().items()
            if name not in unused and value is not None
        },
        "input": [as_shape(shape) for shape in (node.input_type or {}).values()],
        "output": [as_shape(shape) for shape in (node.output_type or {}).values()],
    }


def _field(value: Any, weights: bool) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if not weights:
        return {"shape": value.shape}
    return {
        "shape": value.shape,
        "dtype": f"{value.dtype.kind}{value.dtype.itemsize}",
        "sha256": hashlib.sha256(_bytes(value).reshape(-1).view(np.uint8).data).hexdigest(),
    }


def _bytes(array: Array) -> Array:
    """The numbers row by row, lowest byte first, every NaN the same."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    if little.dtype.kind == "f" and np.isnan(little).any():
        little = np.where(np.isnan(little), little.dtype.type(np.nan), little)
        little = little.astype(array.dtype.newbyteorder("<"))
    return little
