"""Reading a graph from an open ``.t1c`` file, behind the guard of ``hdf5_guard``."""

from __future__ import annotations

import contextlib
from typing import Any

import h5py
import numpy as np

from .errors import GraphError, NodeError, Problem
from .fields import Kind, TextKind, show
from .graph import Graph
from .hdf5_guard import Guard
from .hdf5_layout import FORMAT_VERSION, GRAPH_NOTES, NODE_NOTES, NOTES_KEY, TEXT, numbers
from .metadata import MAX_DEPTH, Metadata
from .node import Node
from .registry import list_primitives, str_to_node, unknown_primitive
from .unknown import Unknown


class Reader(Guard):
    """Makes a graph of an open file; ``problems`` says what is wrong with it."""

    depth = 0
    """How many graphs the one being read is nested in."""
    keep: str | None = None
    """The file's version, where unknown primitives are carried along."""

    def graph(self, allow_nonfinite: bool) -> Graph | None:
        """The graph of the file, or None where ``problems`` says why not."""
        group = self.entry(self.file, "graph", "/graph")
        if not isinstance(group, h5py.Group):
            self.problem("/graph", "there is no graph", "a group")
            return None
        name = self.entry(group, "type", "graph, field 'type'")
        if not isinstance(name, str) or name.partition("@")[0] != "Graph":
            self.problem("graph", f"its type is {show(name)}", "'Graph'")
            return None
        return self._graph(group, name, "", allow_nonfinite)

    def _graph(
        self, group: h5py.Group, type_name: str, where: str, allow_nonfinite: bool
    ) -> Graph | None:
        before = len(self.problems)
        place = where or "graph"
        if self.depth > MAX_DEPTH:
            self.problem(place, "nested too deeply", f"at most {MAX_DEPTH} levels")
            return None
        self._supported(type_name, place)
        allowed = {"type", "nodes", "edges", "feedback", "metadata", "allow_cycles"}
        present = self.names(group)
        self._refuse_others(present, allowed | set(GRAPH_NOTES), place)
        nodes: dict[str, Node] = {}
        inner = self.entry(group, "nodes", f"{place}, nodes")
        if isinstance(inner, h5py.Group):
            for name in self.names(inner):
                spot = f"{where} > node {name!r}" if where else f"node {name!r}"
                node = self._node(inner, name, spot, allow_nonfinite)
                if node is not None:
                    nodes[name] = node
        else:
            self.problem(place, "there are no nodes", "a group 'nodes'")
        edges = self._edges(group, "edges", place)
        feedback = self._edges(group, "feedback", place) if "feedback" in present else []
        cycles = self.entry(group, "allow_cycles", place)
        if isinstance(cycles, str):
            cycles = {"True": True, "False": False}.get(cycles, cycles)
        if cycles is not None and not isinstance(cycles, bool | np.bool_):
            self.problem(place, f"allow_cycles is {show(cycles)}", "True or False")
        metadata = self._metadata(group, present, GRAPH_NOTES, place)
        if len(self.problems) > before:
            return None
        try:
            return Graph(
                nodes,
                edges,
                metadata,
                bool(cycles),
                feedback=feedback,
                allow_nonfinite=allow_nonfinite,
            )
        except GraphError as error:
            if not where:
                raise
            self.problems += [p.at(where) for p in error.problems]
            return None

    def _node(self, nodes: h5py.Group, name: str, where: str, allow_nonfinite: bool) -> Node | None:
        group = self.entry(nodes, name, where)
        if not isinstance(group, h5py.Group):
            self.problem(where, "not a group", "a group with the node's type and fields")
            return None
        type_name = self.entry(group, "type", f"{where}, field 'type'")
        if not isinstance(type_name, str):
            inner = self.groups(group)
            self.problem(
                where,
                f"it has no type but holds the group {inner[0]!r}: a node was named "
                f"'{name}/{inner[0]}', and a name must not hold a slash"
                if inner
                else "it has no type",
                "the name of a primitive",
                "Rename the node and export again.",
            )
            return None
        primitive = type_name.partition("@")[0]
        if primitive == "Graph":
            self.depth += 1
            graph = self._graph(group, type_name, where, allow_nonfinite)
            self.depth -= 1
            return graph
        if self.keep is not None and not self._known(type_name):
            return Unknown(type_name, self._stored(group, where), self.keep)
        if primitive not in list_primitives():
            self.problems.append(unknown_primitive(type_name).at(where))
            return None
        cls = str_to_node(primitive)
        if not self._supported(type_name, where):
            return None
        return self._fields(group, cls, numbers(type_name.partition("@")[2]), where)

    def _fields(
        self, group: h5py.Group, cls: type[Node], version: tuple[int, ...], where: str
    ) -> Node | None:
        before = len(self.problems)
        spot = f"{where} ({cls.__name__})"
        values: dict[str, Any] = {}
        present = self.names(group)
        # A later field under the plain type name would be dropped by earlier readers: not a field.
        kinds = {n: k for n, k in cls.kinds.items() if numbers(k.since) <= version}
        for name, kind in kinds.items():
            if name not in present:
                if name in cls.required():
                    self.problem(f"{spot}, field {name!r}", "it is missing", kind.describe())
                continue
            raw = self.entry(group, name, f"{spot}, field {name!r}")
            if raw is None:
                continue
            try:
                values[name] = _meant(kind, raw)
            except NodeError as error:
                place = f"{spot}, field {name!r}"
                self.problems += [p.at(place) for p in error.problems]
        for name in {"input_type", "output_type"} & set(present):
            place = f"{spot}, field {name!r}"
            types = self.entry(group, name, place)
            if not isinstance(types, h5py.Group):
                self.problem(place, show(types), "a group with a shape for each port")
                continue
            values[name] = {k: self.entry(types, k, place) for k in self.names(types)}
            for port, shape in values[name].items():
                if isinstance(shape, h5py.Group):
                    self.problem(place, f"a group for port {port!r}", "a shape")
        common = {"type", "metadata", "input_type", "output_type", *NODE_NOTES}
        self._refuse_others(present, common | set(kinds), spot)
        notes = tuple(name for name in NODE_NOTES if name not in kinds)
        values["metadata"] = self._metadata(group, present, notes, spot)
        if len(self.problems) > before:
            return None
        try:
            return cls(**values)
        except (NodeError, GraphError) as error:
            self.problems += [p.at(where) for p in error.problems]
            return None

    def _known(self, type_name: str) -> bool:
        primitive, _, version = type_name.partition("@")
        with contextlib.suppress(ValueError):
            return primitive in list_primitives() and numbers(version) <= numbers(FORMAT_VERSION)
        return True  # a version that is none is refused below

    def _stored(self, group: h5py.Group, where: str) -> dict[str, Any]:
        """All that a node holds but its type, which was read."""
        found: dict[str, Any] = {}
        for name in self.names(group):
            if name == "type":
                continue
            value = self.entry(group, name, f"{where}, field {name!r}")
            if isinstance(value, h5py.Group):
                value = self.tree(value, f"{where}, field {name!r}")
            if value is not None:
                found[name] = _writable(value)
        return found

    def _supported(self, type_name: str, where: str) -> bool:
        _, at, version = type_name.partition("@")
        try:
            if not at or (version and numbers(version) <= numbers(FORMAT_VERSION)):
                return True
        except ValueError:
            pass
        self.problem(
            where,
            f"type {type_name!r}",
            f"a version up to {FORMAT_VERSION}",
            "Install a later t1c.",
        )
        return False

    def _refuse_others(self, present: list[str], known: set[str], where: str) -> None:
        for name in present:
            if name not in known:
                self.problem(
                    where,
                    f"unknown field {name!r}",
                    f"only {', '.join(sorted(known))}",
                    "What it means cannot be known; export without it.",
                )

    def _edges(self, group: h5py.Group, name: str, where: str) -> list[tuple[str, str]]:
        place = f"{where}, {name}"
        edges = self.entry(group, name, place)
        if not isinstance(edges, h5py.Group):
            self.problem(where, f"there are no {name}", "a group with 'src' and 'dst'")
            return []
        self._refuse_others(self.names(edges), {"src", "dst"}, place)
        ends = []
        for end in ("src", "dst"):
            names = self.entry(edges, end, f"{place}/{end}")
            if isinstance(names, np.ndarray) and names.size == 0:
                names = []
            if not isinstance(names, list):
                self.problem(f"{place}/{end}", show(names), "a list of node names")
                return []
            ends.append(names)
        if len(ends[0]) != len(ends[1]):
            self.problem(
                place, f"{len(ends[0])} sources and {len(ends[1])} targets", "as many of either"
            )
        return list(zip(*ends, strict=False))

    def _metadata(
        self, group: h5py.Group, present: list[str], notes: tuple[str, ...], where: str
    ) -> Metadata:
        metadata: Metadata = {}
        if "metadata" in present:
            stored = self.entry(group, "metadata", f"{where}, metadata")
            if isinstance(stored, h5py.Group):
                metadata = _plain(self.tree(stored, f"{where}, metadata"))
            elif stored is not None:
                self.problem(f"{where}, metadata", show(stored), "a group")
        found = {name: self._note(group, name, where) for name in notes if name in present}
        return {**metadata, NOTES_KEY: found} if found else metadata

    def _note(self, group: h5py.Group, name: str, where: str) -> Any:
        value = self.entry(group, name, f"{where}.{name}")
        if isinstance(value, h5py.Group):
            value = self.tree(value, f"{where}.{name}")
        return _plain(value)


def _writable(value: Any) -> Any:
    """A dataset of any kind as it is written again: lists of text, nested or not, as arrays."""
    if isinstance(value, dict):
        return {name: _writable(entry) for name, entry in value.items()}
    return np.array(value, TEXT) if isinstance(value, list) else value


_LISTS = (np.dtype(np.int64), np.dtype(np.float64), np.dtype(bool))


def _plain(value: Any) -> Any:
    """A note as it was given: Python's numbers, and lists of them."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype in _LISTS:
        # An empty list is written as floats; an empty array of another dtype is not one.
        return value.tolist() if value.size or value.dtype == np.float64 else value
    return value


def _meant(kind: Kind, raw: Any) -> Any:
    """The value a field was meant to have: early writers stored NumPy scalars as text."""
    if isinstance(raw, h5py.Group):
        raise NodeError(Problem("a group", kind.describe()))
    if isinstance(raw, str) and not isinstance(kind, TextKind):
        return kind.from_text(raw)
    return kind.convert(raw)
