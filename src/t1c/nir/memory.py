"""Graphs of the ``nir`` package in memory, to plain values and back.

Only ``nir_of`` imports the package; ``raw_of`` takes whatever has NIR's attributes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from t1c.ir.errors import InputError, Problem, UnsupportedError
from t1c.ir.fields import show

from .raw import NirGraph, NirNode

_COMMON = ("input_type", "output_type", "metadata")


def raw_of(graph: Any) -> NirGraph:
    """A ``nir.NIRGraph`` as plain values; the graph is not changed.

    Arrays may be those of another library (torch), as some producers leave them.

    Raises:
        InputError: it is not a graph of the nir package, or holds what is no node of it.
    """
    if not (isinstance(getattr(graph, "nodes", None), Mapping) and hasattr(graph, "edges")):
        raise InputError(
            Problem(show(graph), "a nir.NIRGraph", "Read files with t1c.nir.read(path).")
        )
    strange = [
        Problem(
            _told(node),
            "a node of the nir package",
            _remedy(node),
            f"node {str(name)!r}",
        )
        for name, node in graph.nodes.items()
        if not _is_node(node)
    ]
    if strange:
        raise InputError(strange, "the graph holds what is no node of NIR")
    nodes = {
        str(name): raw_of(node) if type(node).__name__ == "NIRGraph" else _raw_node(node)
        for name, node in graph.nodes.items()
    }
    edges = [(str(source), str(target)) for source, target in graph.edges]
    return NirGraph(nodes, edges, _plain(_metadata(graph)))


def _is_node(node: Any) -> bool:
    """Whether it is an instance of a class that declares fields, as all of NIR's do."""
    return dataclasses.is_dataclass(node) and not isinstance(node, type)


def _told(node: Any) -> str:
    if node is None:
        return "None"
    module = type(node).__module__
    return f"a {module}.{type(node).__qualname__}" if _is_module(node) else show(node)


def _is_module(node: Any) -> bool:
    return hasattr(node, "state_dict") and callable(getattr(node, "forward", None))


def _remedy(node: Any) -> str:
    if _is_module(node):
        return (
            "Export the model with its framework's own exporter, or with t1c.bridge.to_ir, which "
            "takes torch modules."
        )
    if node is None:
        return "The exporter had no word for it, and left it out: replace the layer, or add a node."
    return "Replace it with a node, such as nir.Affine."


def _raw_node(node: Any) -> NirNode:
    kind = type(node).__name__
    fields = {
        field.name: _plain(getattr(node, field.name))
        for field in dataclasses.fields(node)
        if field.name not in _COMMON
    }
    # In a file these stand under names of their own.
    if kind == "Input":
        fields["shape"] = _plain(node.input_type["input"])
    elif kind == "Output":
        fields["shape"] = _plain(node.output_type["output"])
    elif kind == "Flatten":
        fields["input_type"] = _plain(node.input_type["input"])
    present = {name: value for name, value in fields.items() if value is not None}
    return NirNode(kind, present, _plain(_metadata(node)))


def _metadata(node: Any) -> dict[str, Any]:
    metadata = getattr(node, "metadata", None)
    return dict(metadata) if isinstance(metadata, Mapping) else {}


def _plain(value: Any) -> Any:
    """Arrays of any library as NumPy's, text as str."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.ndim == 1:
        return [_plain(entry) for entry in value]
    return value


def nir_of(graph: NirGraph) -> Any:
    """Plain values as a ``nir.NIRGraph``, without the package's type check.

    The check mistypes grouped convolutions and kernels that are not square, and adds nodes.

    Raises:
        UnsupportedError: the nir package is not installed.
    """
    try:
        import nir
    except ImportError:
        raise UnsupportedError(
            Problem(
                "the nir package is not installed",
                remedy="Install t1c[nir], or write a file with t1c.nir.write, which needs no nir.",
            )
        ) from None
    nodes = {
        name: nir_of(node) if isinstance(node, NirGraph) else _nir_node(nir, node)
        for name, node in graph.nodes.items()
    }
    return nir.NIRGraph(
        nodes=nodes, edges=list(graph.edges), metadata=dict(graph.metadata), type_check=False
    )


def _nir_node(nir: Any, node: NirNode) -> Any:
    fields = dict(node.fields)
    cls = getattr(nir.ir, node.type)
    if node.type == "Input":
        fields = {"input_type": {"input": fields["shape"]}}
    elif node.type == "Output":
        fields = {"output_type": {"output": fields["shape"]}}
    elif node.type == "Flatten":
        fields["input_type"] = {"input": fields.get("input_type")}
    for field in dataclasses.fields(cls):
        required = field.init and field.default is dataclasses.MISSING
        if required and field.name not in (*_COMMON, *fields):
            fields[field.name] = None
    return cls(**fields, metadata=dict(node.metadata))
