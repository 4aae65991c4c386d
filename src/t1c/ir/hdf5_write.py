"""Writing nodes, edges and metadata into an open ``.t1c`` file."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from .graph import Graph
from .hdf5_layout import (
    GRAPH_NOTES,
    NESTED_SINCE,
    NODE_NOTES,
    NOTES_KEY,
    TEXT,
    later_fields,
    unused_fields,
)
from .metadata import Metadata
from .node import Node


def write_graph(group: h5py.Group, graph: Graph, nested: bool = False) -> None:
    """Write a graph, and those nested in it, into an empty group."""
    _write_type(group, graph, NESTED_SINCE if nested else later_fields(graph))
    nodes = group.create_group("nodes", track_order=True)
    for name, node in graph.nodes.items():
        inner = nodes.create_group(name, track_order=True)
        if isinstance(node, Graph):
            write_graph(inner, node, nested=True)
        else:
            _write_node(inner, node)
    _write_edges(group.create_group("edges"), graph.edges)
    if graph.feedback:
        _write_edges(group.create_group("feedback"), graph.feedback)
    if graph.allow_cycles:
        group.create_dataset("allow_cycles", data=True)
    _write_notes(group, graph.metadata, GRAPH_NOTES)


def _write_node(group: h5py.Group, node: Node) -> None:
    _write_type(group, node, later_fields(node))
    unused = unused_fields(node)
    for name, value in node.values().items():
        if name not in unused:
            _write_value(group, name, value)
    for field in ("input_type", "output_type"):
        declared = node.declared_input if field == "input_type" else node.declared_output
        if declared:
            types = group.create_group(field)
            for port, shape in declared.items():
                types.create_dataset(port, data=shape)
    _write_notes(group, node.metadata, tuple(n for n in NODE_NOTES if n not in node.kinds))


def _write_type(group: h5py.Group, node: Node, later: str) -> None:
    name = f"{node.primitive}@{later}" if later else node.primitive
    group.create_dataset("type", data=name, dtype=TEXT)


def _write_edges(group: h5py.Group, edges: list[tuple[str, str]]) -> None:
    for i, end in enumerate(("src", "dst")):
        names = np.array([edge[i] for edge in edges], dtype=object)
        group.create_dataset(end, data=names, dtype=TEXT)


def _write_notes(group: h5py.Group, metadata: Metadata, notes: tuple[str, ...]) -> None:
    metadata = dict(metadata)
    kept = metadata.get(NOTES_KEY)
    if (
        isinstance(kept, dict)
        and kept
        and all(name in notes and note is not None for name, note in kept.items())
    ):
        del metadata[NOTES_KEY]
        for name, value in kept.items():
            _write_value(group, name, value)
    if metadata:
        _write_value(group, "metadata", metadata)


def _write_value(group: h5py.Group, name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, dict):
        inner = group.create_group(name, track_order=True)
        for key, entry in value.items():
            _write_value(inner, key, entry)
    elif isinstance(value, str):
        group.create_dataset(name, data=value, dtype=TEXT)
    elif isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        group.create_dataset(name, data=np.array(value, dtype=object), dtype=TEXT)
    elif isinstance(value, tuple):
        group.create_dataset(name, data=np.array(value, dtype=np.int64))
    else:
        group.create_dataset(name, data=np.asarray(value))
