"""Writing a ``.nir`` file as the ``nir`` package lays it out (see ``file_read``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from t1c.ir.atomic import writing_hdf5
from t1c.ir.hdf5_guard import StrPath
from t1c.ir.hdf5_layout import TEXT

from .raw import NirGraph, NirNode

NIR_VERSION = "1.0.8"
"""The version of NIR whose layout and definitions are written."""


def write_raw(path: StrPath, graph: NirGraph) -> None:
    """Write a graph; the file appears whole or not at all.

    Raises:
        WriteError: the place cannot be written to.
    """
    with writing_hdf5(path, _bytes_of(graph)) as file:
        file.create_dataset("version", data=NIR_VERSION, dtype=TEXT)
        _write_graph(file.create_group("node"), graph)


def _bytes_of(graph: NirGraph) -> int:
    total = 0
    for node in graph.nodes.values():
        if isinstance(node, NirGraph):
            total += _bytes_of(node)
        else:
            total += sum(getattr(value, "nbytes", 0) for value in node.fields.values())
    return total


def _write_graph(group: h5py.Group, graph: NirGraph) -> None:
    group.create_dataset("type", data="NIRGraph", dtype=TEXT)
    pairs = np.array(graph.edges, dtype=object).reshape(-1, 2)
    group.create_dataset("edges", data=pairs, dtype=TEXT)
    # HDF5 forgets the order of names unless told; the nir package reads them in this order.
    nodes = group.create_group("nodes", track_order=True)
    for name, node in graph.nodes.items():
        inner = nodes.create_group(name)
        if isinstance(node, NirGraph):
            _write_graph(inner, node)
        else:
            _write_node(inner, node)
    _write_metadata(group, graph.metadata)


def _write_node(group: h5py.Group, node: NirNode) -> None:
    group.create_dataset("type", data=node.type, dtype=TEXT)
    for name, value in node.fields.items():
        _write_value(group, name, value)
    _write_metadata(group, node.metadata)


def _write_metadata(group: h5py.Group, metadata: Mapping[str, Any]) -> None:
    if any(entry is not None for entry in metadata.values()):
        _write_value(group, "metadata", metadata)


def _write_value(group: h5py.Group, name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, Mapping):
        inner = group.create_group(name, track_order=True)
        for key, entry in value.items():
            _write_value(inner, key, entry)
    elif isinstance(value, str):
        group.create_dataset(name, data=value, dtype=TEXT)
    elif isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        group.create_dataset(name, data=np.array(value, dtype=object), dtype=TEXT)
    else:
        array = np.asarray(value)
        # HDF5 compresses in chunks, which a scalar and an empty array have not.
        group.create_dataset(name, data=array, compression="gzip" if array.size > 1 else None)
