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
from collections.abc import Mapping
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.hdf5_layout import unused_fields
from t1c.ir.shapes import as_shape
from t1c.nir import GraphSource, read_graph

SCHEME = "t1c-1"
"""Names the canonical form; it changes with it, so that no two forms are compared."""


def fingerprint_graph(source: GraphSource, weights: bool = True, *, dt: float | None = None) -> str:
    """The fingerprint of a graph, 64 hexadecimal digits; the module's docstring says of what.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        weights: count the numbers in arrays and their dtypes; if not, only their shapes, so that
            a network has one fingerprint before and after training.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: the file is not valid, or its dt is not known.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> nodes = {"a": ir.Input(shape=(2,)), "s": ir.Scale(np.ones(2)), "b": ir.Output((2,))}
        >>> edges = [("a", "s"), ("s", "b")]
        >>> one = ir.Graph(nodes, edges)
        >>> two = ir.Graph(dict(reversed(nodes.items())), edges, metadata={"note": "the same"})
        >>> fingerprint_graph(one) == fingerprint_graph(two)
        True
        >>> three = one.replace(nodes={**nodes, "s": ir.Scale(np.full(2, 0.5))})
        >>> fingerprint_graph(one) == fingerprint_graph(three)
        False
        >>> fingerprint_graph(one, weights=False) == fingerprint_graph(three, weights=False)
        True
    """
    return _digest(canonical_form(read_graph(source, dt), weights=weights))


def fingerprint_node(node: ir.Node, weights: bool = True) -> str:
    """The fingerprint of one node by itself, wherever it stands and whatever its name."""
    return _digest(json.dumps({"scheme": SCHEME, "node": _node(node, weights)}, sort_keys=True))


def canonical_form(graph: ir.Graph, *, weights: bool = True) -> str:
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


def _graph(graph: ir.Graph, weights: bool) -> dict[str, Any]:
    before, ports = graph.topology().before, graph.ports()
    return {
        name: {**_node(node, weights), "from": [[s, ports[s, name]] for s in before[name]]}
        for name, node in graph.nodes.items()
    }


def _node(node: ir.Node, weights: bool) -> dict[str, Any]:
    if isinstance(node, ir.Graph):
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
    if isinstance(value, Mapping):  # of a node that is not known
        return {name: _field(entry, weights) for name, entry in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "O":
        return value.tolist()
    if not weights:
        return {"shape": value.shape}
    return {
        "shape": value.shape,
        "dtype": f"{value.dtype.kind}{value.dtype.itemsize}",
        "sha256": hashlib.sha256(_bytes(value)).hexdigest(),
    }


def _bytes(array: Array) -> bytes:
    """The numbers row by row, lowest byte first, every NaN the same."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    if little.dtype.kind == "f" and np.isnan(little).any():
        little = np.where(np.isnan(little), little.dtype.type(np.nan), little)
        little = little.astype(array.dtype.newbyteorder("<"))
    return little.tobytes()
