"""Which edges are drawn within each group, and between which of its parts.

A *scope* is what is seen of a group when it is open: nodes, groups, and links between them. An edge
between nodes of different groups is drawn in pieces: within each group from the node to a *port*
on its border, and between the groups from port to port. Edges that carry the same output across the
same border share a port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import rustworkx as rx


@dataclass
class Link:
    """A line within a scope, from ``source`` to ``target``.

    Ends are ids of nodes or groups of the scope; None for a port of the scope's own border.

    Attributes:
        source_port: the number of the port of a group; or of the scope, where ``source`` is None.
        target_port: likewise.
        upwards: it is drawn from below to above.
        feedback: its edges deliver what was sent in the previous step.
        edges: the numbers of the edges that it is a piece of.
    """

    source: str | None
    source_port: int
    target: str | None
    target_port: int
    upwards: bool
    feedback: bool
    edges: list[int]


@dataclass
class Scope:
    """What is seen of an open group.

    Attributes:
        id: of the group; None for the whole picture.
        items: ids of nodes and groups in it.
        links: lines between them.
        top: the numbers of the ports on its upper side.
        bottom: of those on its lower side.
    """

    id: str | None
    items: list[str] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    top: list[int] = field(default_factory=list)
    bottom: list[int] = field(default_factory=list)

    @property
    def port_count(self) -> int:
        """How many ports its border has."""
        return len(self.top) + len(self.bottom)


def scopes_of(graph: Mapping[str, Any]) -> dict[str | None, Scope]:
    """The scope of each group of a dictionary as ``graph_to_dict`` gives it, outer before inner."""
    home: dict[str, str | None] = {g["id"]: g["group"] for g in graph["groups"]}
    scopes: dict[str | None, Scope] = {None: Scope(None)}
    scopes |= {group["id"]: Scope(group["id"]) for group in graph["groups"]}
    home |= {node["id"]: node["group"] for node in graph["nodes"]}
    for ident, group in home.items():
        scopes[group].items.append(ident)
    paths = {ident: _path(ident, home) for ident in home}
    builder = _Builder(scopes)
    crossing: dict[str | None, list[tuple[int, str, str, bool]]] = {}
    for number, edge in enumerate(graph["edges"]):
        up, down = paths[edge["source"]], paths[edge["target"]]
        depth = 0
        while depth < min(len(up), len(down)) - 1 and up[depth] == down[depth]:
            depth += 1
        scope = home[up[depth]]
        crossing.setdefault(scope, []).append((number, up[depth], down[depth], edge["feedback"]))
    for scope, edges in crossing.items():
        place = _order(scopes[scope].items, [(a, b, back) for _, a, b, back in edges])
        for number, a, b, back in edges:
            edge = graph["edges"][number]
            builder.add(
                number, paths[edge["source"]], paths[edge["target"]], scope,
                upwards=place[a] >= place[b], feedback=back,
            )  # fmt: skip
    return scopes


def _path(ident: str, home: Mapping[str, str | None]) -> list[str]:
    """The groups that lead to a node, from the outermost on, and the node."""
    path = [ident]
    while (group := home[path[-1]]) is not None:
        path.append(group)
    return path[::-1]


def _order(items: Sequence[str], edges: Sequence[tuple[str, str, bool]]) -> dict[str, int]:
    """A place for each item, so that few edges run from a later one to an earlier one.

    Those that run back in time do, and others only where groups are entangled.
    """
    index = {item: i for i, item in enumerate(items)}
    present = [(index[a], index[b]) for a, b, back in edges if not back and a != b]
    late = [(index[b], index[a]) for a, b, back in edges if back and a != b]
    for wanted in ([*present, *late], present):
        graph: rx.PyDiGraph[int, None] = rx.PyDiGraph(multigraph=False)
        graph.add_nodes_from(list(range(len(items))))
        graph.add_edges_from_no_data(wanted)
        if rx.is_directed_acyclic_graph(graph):
            break
    else:
        # Entangled groups: parts that lead to each other in the order in which they were given.
        parts = [sorted(part) for part in rx.strongly_connected_components(graph)]
        ordered = [i for part in reversed(parts) for i in part]
        return {items[i]: place for place, i in enumerate(ordered)}
    topological = rx.lexicographical_topological_sort(graph, key=lambda i: f"{i:09d}")
    return {items[i]: place for place, i in enumerate(topological)}


class _Builder:
    def __init__(self, scopes: dict[str | None, Scope]) -> None:
        self.scopes = scopes
        self.ports: dict[tuple[object, ...], int] = {}
        self.links: dict[tuple[object, ...], Link] = {}

    def add(
        self,
        number: int,
        up: list[str],
        down: list[str],
        scope: str | None,
        *,
        upwards: bool,
        feedback: bool,
    ) -> None:
        """One edge in all its pieces: out of the groups around its source, over, and in."""
        depth = 0 if scope is None else up.index(scope) + 1
        source = up[-1]
        port = 0
        for group, item in reversed(list(zip(up[depth:-1], up[depth + 1 :], strict=True))):
            out = self._port(group, ("out", source, feedback, upwards), top=upwards)
            self._link(group, (item, port), (None, out), upwards, feedback, number)
            port = out
        key = ("in", source, feedback, upwards)
        inwards = [self._port(group, key, top=not upwards) for group in down[depth:-1]]
        inwards.append(0)
        end = (down[depth], inwards[0])
        self._link(scope, (up[depth], port), end, upwards, feedback, number)
        for i, group in enumerate(down[depth:-1]):
            start, end = (None, inwards[i]), (down[depth + i + 1], inwards[i + 1])
            self._link(group, start, end, upwards, feedback, number)

    def _port(self, group: str, key: tuple[object, ...], *, top: bool) -> int:
        number = self.ports.get((group, *key))
        if number is None:
            scope = self.scopes[group]
            number = self.ports[(group, *key)] = scope.port_count
            (scope.top if top else scope.bottom).append(number)
        return number

    def _link(
        self,
        scope: str | None,
        source: tuple[str | None, int],
        target: tuple[str | None, int],
        upwards: bool,
        feedback: bool,
        number: int,
    ) -> None:
        key = (scope, source, target, feedback)
        link = self.links.get(key)
        if link is None:
            link = self.links[key] = Link(*source, *target, upwards, feedback, [])
            self.scopes[scope].links.append(link)
        link.edges.append(number)
