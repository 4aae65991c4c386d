"""Reading a graph from an open ``.t1c`` file, behind the guard of ``hdf5_guard``."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np

from .copy_on_write import LEAST, Bytes, Memory
from .errors import GraphError, NodeError, Problem
from .fields import Array, Kind, TextKind, show
from .graph import Graph
from .h5 import Dataset, Group
from .hdf5_guard import LARGE, Guard, shown
from .hdf5_layout import FORMAT_VERSION, GRAPH_NOTES, NODE_NOTES, NOTES_KEY, numbers
from .metadata import MAX_DEPTH, Metadata
from .node import Node
from .registry import list_primitives, str_to_node, unknown_primitive


class Reader(Guard):
    """Makes a graph of an open file; ``problems`` says what is wrong with it."""

    depth = 0
    """How many graphs the one being read is nested in."""
    store: Bytes | None = None
    """Where large arrays lie, if they are not read one by one."""

    def lay_out(self, mapped: bool) -> None:
        """Say where large arrays shall lie: in the file itself, or where they can be shared.

        Raises:
            OSError: the process has no descriptor left.
        """
        if mapped:
            self.store = Bytes(os.dup(self.file.source.descriptor))
        elif self.size >= LARGE:
            with contextlib.suppress(OSError):
                self.store = Memory(self.size)

    def _numbers(self, data: Dataset) -> Array:
        if self.store is not None and data.begin is not None and data.declared >= LEAST:
            with contextlib.suppress(OSError):
                found = self._as_they_lie(self.store, data, data.begin)
                if found is not None:
                    self.file.source.pay(data.begin, data.stored, "data")
                    return found
        return super()._numbers(data)

    def _as_they_lie(self, store: Bytes, data: Dataset, begin: int) -> Array | None:
        """Numbers that share their bytes, where those in the file are all there and in place."""
        source, dtype = self.file.source, data.type.dtype
        if dtype.kind not in "iuf" or data.stored != data.declared:
            return None
        if not source.holds(begin, data.stored):
            return None
        at = source.base + begin
        if isinstance(store, Memory):
            return store.copy(source.descriptor, at, data.shape, dtype)
        if at % dtype.itemsize:
            return None
        array = store.array(at, data.shape, dtype)
        array.flags.writeable = False
        return array

    def graph(self, allow_nonfinite: bool) -> Graph | None:
        """The graph of the file, or None where ``problems`` says why not."""
        group = self.entry(self.root, "graph", "/graph")
        if not isinstance(group, Group):
            self.wrong("/graph", "there is no graph", "a group")
            return None
        name = self.entry(group, "type", "graph, field 'type'")
        if not isinstance(name, str) or name.partition("@")[0] != "Graph":
            self.wrong("graph", f"its type is {show(name)}", "'Graph'")
            return None
        return self._graph(group, name, "", allow_nonfinite)

    def _graph(
        self, group: Group, type_name: str, where: str, allow_nonfinite: bool
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
        if isinstance(inner, Group):
            for name in self.names(inner):
                spot = f"{where} > node {shown(name)!r}" if where else f"node {shown(name)!r}"
                node = self._node(inner, name, spot, allow_nonfinite)
                if node is not None:
                    nodes[name] = node
        else:
            self.wrong(place, "there are no nodes", "a group 'nodes'")
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

    def _node(self, nodes: Group, name: str, where: str, allow_nonfinite: bool) -> Node | None:
        group = self.entry(nodes, name, where)
        if not isinstance(group, Group):
            self.wrong(where, "not a group", "a group with the node's type and fields")
            return None
        type_name = self.entry(group, "type", f"{where}, field 'type'")
        if not isinstance(type_name, str):
            if self.told:
                return None
            inner = self.groups(group)
            self.problem(
                where,
                f"it has no type but holds the group {shown(inner[0])!r}: a node was named "
                f"'{shown(name)}/{shown(inner[0])}', and a name must not hold a slash"
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
        if primitive not in list_primitives():
            self.problems.append(unknown_primitive(type_name).at(where))
            return None
        cls = str_to_node(primitive)
        if not self._supported(type_name, where):
            return None
        return self._fields(group, cls, numbers(type_name.partition("@")[2]), where)

    def _fields(
        self, group: Group, cls: type[Node], version: tuple[int, ...], where: str
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
            if not isinstance(types, Group):
                self.wrong(place, show(types), "a group with a shape for each port")
                continue
            values[name] = {k: self.entry(types, k, place) for k in self.names(types)}
            for port, shape in values[name].items():
                if isinstance(shape, Group):
                    self.problem(place, f"a group for port {shown(port)!r}", "a shape")
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
                    f"unknown field {shown(name)!r}",
                    f"only {', '.join(sorted(known))}",
                    "What it means cannot be known; export without it.",
                )

    def _edges(self, group: Group, name: str, where: str) -> list[tuple[str, str]]:
        place = f"{where}, {name}"
        edges = self.entry(group, name, place)
        if not isinstance(edges, Group):
            self.wrong(where, f"there are no {name}", "a group with 'src' and 'dst'")
            return []
        self._refuse_others(self.names(edges), {"src", "dst"}, place)
        ends = []
        for end in ("src", "dst"):
            names = self.entry(edges, end, f"{place}/{end}")
            if isinstance(names, np.ndarray) and names.size == 0:
                names = []
            if not isinstance(names, list):
                self.wrong(f"{place}/{end}", show(names), "a list of node names")
                return []
            ends.append(names)
        if len(ends[0]) != len(ends[1]):
            self.problem(
                place, f"{len(ends[0])} sources and {len(ends[1])} targets", "as many of either"
            )
        return list(zip(*ends, strict=False))

    def _metadata(
        self, group: Group, present: list[str], notes: tuple[str, ...], where: str
    ) -> Metadata:
        metadata: Metadata = {}
        if "metadata" in present:
            stored = self.entry(group, "metadata", f"{where}, metadata")
            if isinstance(stored, Group):
                metadata = _plain(self.tree(stored, f"{where}, metadata"))
            elif stored is not None:
                self.problem(f"{where}, metadata", show(stored), "a group")
        found = {name: self._note(group, name, where) for name in notes if name in present}
        return {**metadata, NOTES_KEY: found} if found else metadata

    def _note(self, group: Group, name: str, where: str) -> Any:
        value = self.entry(group, name, f"{where}.{name}")
        if isinstance(value, Group):
            value = self.tree(value, f"{where}.{name}")
        return _plain(value)


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
    if isinstance(raw, Group):
        raise NodeError(Problem("a group", kind.describe()))
    if isinstance(raw, str) and not isinstance(kind, TextKind):
        return kind.from_text(raw)
    return kind.convert(raw)
