"""Reading a ``.nir`` file behind the guard that ``.t1c`` files pass, without the nir package.

Layout, as the ``nir`` package has written it since 0.1::

    /version                        text, since 0.2
    /node/type                      'NIRGraph'
    /node/edges                     text, one (source, target) a row
    /node/nodes/<name>/type         the NIR type, and one dataset for each field
    /node/metadata/...              nested groups
"""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c.ir.errors import Problem, T1CFormatError
from t1c.ir.fields import show
from t1c.ir.h5 import Group
from t1c.ir.hdf5_guard import Guard, StrPath, opened, shown
from t1c.ir.metadata import MAX_DEPTH

from .raw import Edges, NirGraph, NirNode


def read_raw(path: StrPath) -> NirGraph:
    """The graph in a ``.nir`` file, as plain values.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is not a .nir file, or is damaged; lists all problems found.
    """
    with opened(path, "a .nir file", _Reader) as reader:
        root = reader.entry(reader.root, "node", "/node")
        if root is None and reader.problems:
            raise T1CFormatError(reader.problems, str(path))
        if not isinstance(root, Group):
            raise T1CFormatError(_not_nir(reader.names(reader.root), str(path)))
        version = reader.entry(reader.root, "version", "/version")
        graph = reader.graph(root, "")
        if reader.problems or graph is None:
            raise T1CFormatError(reader.problems, str(path))
        graph.version = version if isinstance(version, str) else ""
        return graph


def read_version(path: StrPath) -> str:
    """The version of the ``nir`` package that a ``.nir`` file says it was written by, or ''.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is not an HDF5 file, or is damaged.
    """
    with opened(path, "a .nir file", _Reader) as reader:
        version = reader.entry(reader.root, "version", "/version")
        if version is None and reader.problems:
            raise T1CFormatError(reader.problems, str(path))
        return version if isinstance(version, str) else ""


def _not_nir(names: list[str], path: str) -> Problem:
    if "graph" in names:
        remedy = "It looks like a .t1c file: read it with t1c.ir.read."
    elif "nodes" in names:
        remedy = "It looks like a file of nir 0.0.x, whose nodes had other fields; export it again."
    else:
        remedy = "Is it a .nir file?"
    return Problem("there is no graph", "a group '/node'", remedy, where=path)


class _Reader(Guard):
    """Makes plain values of an open file; ``problems`` says what is wrong with it."""

    def graph(self, group: Group, where: str, depth: int = 0) -> NirGraph | None:
        place = where or "the graph"
        type_name = self.entry(group, "type", f"{place}, field 'type'")
        if type_name != "NIRGraph":
            self.wrong(place, f"its type is {show(type_name)}", "'NIRGraph'")
            return None
        return self._graph(group, where, depth)

    def _graph(self, group: Group, where: str, depth: int) -> NirGraph | None:
        place = where or "the graph"
        if depth > MAX_DEPTH:
            self.problem(place, "nested too deeply", f"at most {MAX_DEPTH} levels")
            return None
        nodes: dict[str, NirNode | NirGraph] = {}
        inner = self.entry(group, "nodes", f"{place}, nodes")
        if isinstance(inner, Group):
            for name in self.names(inner):
                spot = f"{where} > node {shown(name)!r}" if where else f"node {shown(name)!r}"
                node = self._node(inner, name, spot, depth)
                if node is not None:
                    nodes[name] = node
        else:
            self.wrong(place, "there are no nodes", "a group 'nodes'")
        for name in sorted({*self.names(group)} - {"type", "nodes", "edges", "metadata"}):
            self.problem(place, f"unknown field {shown(name)!r}", "nodes, edges and metadata")
        return NirGraph(nodes, self._edges(group, place), self._metadata(group, place))

    def _node(self, nodes: Group, name: str, where: str, depth: int) -> NirNode | NirGraph | None:
        group = self.entry(nodes, name, where)
        if not isinstance(group, Group):
            self.wrong(where, "not a group", "a group with the node's type and fields")
            return None
        type_name = self.entry(group, "type", f"{where}, field 'type'")
        if not isinstance(type_name, str):
            self.wrong(where, f"its type is {show(type_name)}", "the name of a NIR type")
            return None
        if type_name == "NIRGraph":
            return self._graph(group, where, depth + 1)
        fields: dict[str, Any] = {}
        for field in self.names(group):
            if field in ("type", "metadata"):
                continue
            value = self.entry(group, field, f"{where}, field {shown(field)!r}")
            if isinstance(value, Group):
                self.problem(f"{where}, field {shown(field)!r}", "a group", "a value")
            elif value is not None:
                fields[field] = value
        return NirNode(type_name, fields, self._metadata(group, where))

    def _edges(self, group: Group, where: str) -> Edges:
        edges = self.entry(group, "edges", f"{where}, edges")
        if isinstance(edges, np.ndarray) and edges.size == 0:
            return []
        pairs = edges if isinstance(edges, list) else None
        if pairs is None or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
            self.wrong(f"{where}, edges", show(edges), "text, one (source, target) a row")
            return []
        return [(source, target) for source, target in pairs]

    def _metadata(self, group: Group, where: str) -> dict[str, Any]:
        stored = self.entry(group, "metadata", f"{where}, metadata")
        if isinstance(stored, Group):
            return self.tree(stored, f"{where}, metadata")
        if stored is not None:
            self.problem(f"{where}, metadata", show(stored), "a group")
        return {}
