"""Writing nodes, edges and metadata into an open ``.t1c`` file, and the checksums of all of it."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from . import checksums
from .fields import Array
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
from .unknown import Unknown


def bytes_of(graph: Graph) -> int:
    """The bytes of all parameters, those of nested graphs included."""
    return sum(
        bytes_of(node)
        if isinstance(node, Graph)
        else sum(array.nbytes for array in node.parameters().values())
        for node in graph.nodes.values()
    )


class Place:
    """A group to be written into, which takes the checksums of what is.

    Args:
        group: the group.
        path: its path, as checksums take it.
        ordered: it keeps the order in which things are written; others sort them by name.
        sums: where checksums are added.
    """

    def __init__(
        self, group: h5py.Group, path: checksums.Path, ordered: bool, sums: list[int]
    ) -> None:
        self.id = group.id
        self.group, self.path, self.ordered, self.sums = group, path, ordered, sums
        self.names: list[str] = []
        self.inside: list[Place] = []

    def create_group(self, name: str, track_order: bool = False) -> Place:
        """A group within this one."""
        group = self.group.create_group(name, track_order=track_order)
        self.names.append(name)
        self.inside.append(Place(group, checksums.path(name, self.path), track_order, self.sums))
        return self.inside[-1]

    def noted(self, name: str, value: Any) -> None:
        """Take the checksum of a dataset that is written here."""
        self.names.append(name)
        self.sums.append(checksums.of_value(checksums.path(name, self.path), value))

    def finish(self) -> None:
        """Take the checksums of the group and of those within it."""
        names = self.names if self.ordered else sorted(self.names, key=str.encode)
        self.sums.append(checksums.of_group(self.path, names))
        for place in self.inside:
            place.finish()


def write_file(file: h5py.File, graph: Graph, version: str) -> None:
    """Write all of a file into an empty one."""
    root = Place(file, checksums.path(""), False, [])
    _write_array(root, "version", np.asarray(version, TEXT))
    write_graph(root.create_group("graph"), graph)
    for place in root.inside:  # others may add to the root what is theirs
        place.finish()
    sums = np.array(root.sums, np.uint64)
    _write_array(root.create_group(checksums.GROUP), checksums.KIND, sums)


def write_graph(group: Place, graph: Graph, nested: bool = False) -> None:
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
        _write_array(group, "allow_cycles", np.asarray(True))
    _write_notes(group, graph.metadata, GRAPH_NOTES)


def _write_node(group: Place, node: Node) -> None:
    if isinstance(node, Unknown):
        _write_array(group, "type", np.asarray(node.type_name, TEXT))
        for name, value in node.stored.items():
            _write_value(group, name, value)
        return
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
                _write_array(types, port, shape)
    _write_notes(group, node.metadata, tuple(n for n in NODE_NOTES if n not in node.kinds))


def _write_type(group: Place, node: Node, later: str) -> None:
    name = f"{node.primitive}@{later}" if later else node.primitive
    _write_array(group, "type", np.asarray(name, TEXT))


def _write_edges(group: Place, edges: list[tuple[str, str]]) -> None:
    for i, end in enumerate(("src", "dst")):
        _write_array(group, end, np.array([edge[i] for edge in edges], TEXT))


def _write_notes(group: Place, metadata: Metadata, notes: tuple[str, ...]) -> None:
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
    if any(entry is not None for entry in metadata.values()):
        _write_value(group, "metadata", metadata)


def _write_value(group: Place, name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, dict):
        inner = group.create_group(name, track_order=True)
        for key, entry in value.items():
            _write_value(inner, key, entry)
    elif isinstance(value, str):
        _write_array(group, name, np.asarray(value, TEXT))
    elif isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        _write_array(group, name, np.array(value, TEXT))
    elif isinstance(value, tuple):
        _write_array(group, name, np.array(value, np.int64))
    else:
        _write_array(group, name, np.asarray(value))


def _write_array(group: Place, name: str, value: Array) -> None:
    """What ``group.create_dataset(name, data=value)`` does, in half the time.

    A graph of many nodes is many small datasets, and h5py weighs its options anew for each.
    """
    group.noted(name, value)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_obj_track_times(False)  # equal graphs make equal files
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_char_encoding(h5py.h5t.CSET_ASCII if name.isascii() else h5py.h5t.CSET_UTF8)
    space = h5py.h5s.create_simple(value.shape) if value.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    kind = h5py.h5t.py_create(value.dtype, logical=True)
    data = h5py.h5d.create(group.id, name.encode(), kind, space, plist, links)
    if value.size:
        data.write(h5py.h5s.ALL, h5py.h5s.ALL, np.asarray(value, order="C"))
