"""What changed from one graph to another."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from t1c import ir
from t1c.ir.fields import show
from t1c.ir.fingerprint import fingerprint_node
from t1c.ir.topology import Edge
from t1c.nir import GraphSource, counterpart_dt, read_graph

from ..report import Facts, Part, Report, Table
from .changes import FieldChange, NodeChange, compare_nodes, note_changes

MOST_ROWS = 40
"""So many rows of a table are shown to people; ``to_dict`` has all."""


@dataclasses.dataclass(frozen=True, repr=False)
class GraphComparison(Report):
    """What changed from graph ``a`` to graph ``b``; true if nothing did.

    A node ``n`` of a nested graph ``g`` is named ``g/n`` throughout.

    Attributes:
        a, b: what they are: a path, or 'graph'.
        added: the nodes that only ``b`` has, as (name, primitive).
        removed: the nodes that only ``a`` has.
        renamed: (name in a, name in b) of nodes that have another name and are equal otherwise,
            where only one node of either graph comes into question; they are among neither of the
            above, and edges are compared under the new name.
        changed: the nodes of both whose fields differ.
        edges_added, edges_removed: (source, target) pairs.
        inputs_reordered: nodes into which the same edges lead in another order.
        ports_changed: edges of both that take another output of their source.
        feedback_added, feedback_removed: edges of both that run back in time on one side only.
        options: what else differs: ``allow_cycles``, stated feedback, the order of the borders.
        metadata: what differs among the notes of the graphs.
        order: the nodes are the same and in the same order; None where the nodes differ.
        unchanged: how many nodes are equal.
    """

    a: str
    b: str
    added: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]
    renamed: tuple[tuple[str, str], ...]
    changed: tuple[NodeChange, ...]
    edges_added: tuple[Edge, ...]
    edges_removed: tuple[Edge, ...]
    inputs_reordered: tuple[str, ...]
    ports_changed: tuple[Edge, ...]
    feedback_added: tuple[Edge, ...]
    feedback_removed: tuple[Edge, ...]
    options: tuple[FieldChange, ...]
    metadata: tuple[FieldChange, ...]
    order: bool | None
    unchanged: int

    @property
    def same_structure(self) -> bool:
        """The same nodes, edges, options and shapes: at most numbers and notes differ."""
        fields = [field for change in self.changed for field in change.fields]
        return not (self._moved or any(f.kind in ("type", "shape", "option") for f in fields))

    @property
    def _moved(self) -> bool:
        return bool(
            self.added
            or self.removed
            or self.renamed
            or self.edges_added
            or self.edges_removed
            or self.inputs_reordered
            or self.ports_changed
            or self.options
            or self.feedback_added
            or self.feedback_removed
        )

    def __bool__(self) -> bool:
        return not (self._moved or self.changed or self.metadata or self.order is False)

    def to_dict(self) -> dict[str, Any]:
        """The attributes, ``equal`` and ``same_structure``."""
        plain = super().to_dict()
        plain["changed"] = [change.to_dict() for change in self.changed]
        for key in ("options", "metadata"):
            for entry, change in zip(plain[key], getattr(self, key), strict=True):
                entry["text"] = change.text
        return {"equal": bool(self), "same_structure": self.same_structure, **plain}

    def parts(self) -> Sequence[Part]:
        """The verdict in one line, then a table for each kind of change."""
        verdict = "the graphs are equal" if self else "the graphs differ"
        if not self and self.same_structure:
            verdict += " in numbers or notes only"
        parts: list[Part] = [
            Facts(
                (
                    ("a", self.a),
                    ("b", self.b),
                    ("verdict", f"{verdict}; {self.unchanged} nodes are equal"),
                )
            )
        ]
        fields = [(c.name, c.type, f.field, f.text) for c in self.changed for f in c.fields]
        edges = [
            *(("only in b", *edge) for edge in self.edges_added),
            *(("only in a", *edge) for edge in self.edges_removed),
            *(("runs back only in b", *edge) for edge in self.feedback_added),
            *(("runs back only in a", *edge) for edge in self.feedback_removed),
            *(("takes another output", *edge) for edge in self.ports_changed),
        ]
        whole = [(f.field, f.text) for f in (*self.options, *self.metadata)]
        nodes = [
            *((*node, "only in b") for node in self.added),
            *((*node, "only in a") for node in self.removed),
            *((old, "", f"is now {new!r}") for old, new in self.renamed),
            *((name, "", "the same inputs in another order") for name in self.inputs_reordered),
        ]
        for title, columns, rows in (
            ("Nodes", ("node", "type", "change"), nodes),
            ("Fields", ("node", "type", "field", "change"), fields),
            ("Edges", ("change", "from", "to"), edges),
            ("Graph", ("of the graph", "change"), whole),
        ):
            if rows:
                parts.append(_table(title, columns, rows))
        if self.order is False:
            parts.append("the nodes are in another order")
        return parts


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    shown = tuple(rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        shown += ((f"... {len(rows) - MOST_ROWS} more", *[""] * (len(columns) - 1)),)
    return Table(columns, shown, title)


def compare_graphs(
    a: GraphSource,
    b: GraphSource,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    metadata: bool = True,
    order: bool = True,
    dt: float | None = None,
) -> GraphComparison:
    """What changed from one graph to another.

    Args:
        a: a graph, or the path of a ``.t1c`` or ``.nir`` file: how it was.
        b: how it is.
        rtol: numbers that differ by at most this share of the larger one count as equal.
        atol: numbers that differ by at most this much count as equal.
        metadata: compare notes too, which change no result.
        order: the order of nodes counts, which changes no result; that of the edges into a node
            always does.
        dt: seconds in one step, for ``.nir`` files that do not say it.

    Returns:
        The comparison; it is true if nothing differs.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: a file is not valid, or its dt is not known.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> def graph(scale):
        ...     return ir.Graph(
        ...         {"in": ir.Input((2,)), "s": ir.Scale(scale), "out": ir.Output((2,))},
        ...         [("in", "s"), ("s", "out")],
        ...     )
        >>> found = compare_graphs(graph(np.ones(2)), graph(np.array([1.0, 1.25])))
        >>> bool(found), found.same_structure
        (False, True)
        >>> print(found.changed[0].fields[0].text)
        1 of 2 numbers differ, by up to 0.25 (0.2 of the larger)
    """
    dt = counterpart_dt(a, b, dt)
    first, second = read_graph(a, dt), read_graph(b, dt)
    mine, theirs = dict(_walk(first)), dict(_walk(second))
    renamed = _renamed(mine, theirs)
    known = {old: (new, *mine[old][1:]) for old, new in renamed.items()}
    mine = {renamed.get(name, name): known.get(name, entry) for name, entry in mine.items()}
    common = [name for name in mine if name in theirs]
    changed = []
    for name in common:
        x, y = mine[name][1], theirs[name][1]
        if isinstance(x, ir.Graph) and isinstance(y, ir.Graph):
            notes = note_changes(x.metadata, y.metadata) if metadata else []
            change = NodeChange(name, "Graph", (*_option_changes(x, y), *notes))
        else:
            change = compare_nodes(x, y, name=name, rtol=rtol, atol=atol, metadata=metadata)
        if change:
            changed.append(change)

    def now(edge: Edge) -> Edge:
        return renamed.get(edge[0], edge[0]), renamed.get(edge[1], edge[1])

    before, after = [now(edge) for edge in _edges(first)], list(_edges(second))
    both = set(before) & set(after)
    back, ahead = set(map(now, first.feedback_edges())), set(second.feedback_edges())
    ports = {now(edge): port for edge, port in _ports(first).items()}
    same_nodes = set(mine) == set(theirs)
    return GraphComparison(
        a=_title(a),
        b=_title(b),
        added=tuple((n, theirs[n][1].primitive) for n in theirs if n not in mine),
        removed=tuple((n, mine[n][1].primitive) for n in mine if n not in theirs),
        renamed=tuple(renamed.items()),
        changed=tuple(changed),
        edges_added=tuple(e for e in after if e not in both),
        edges_removed=tuple(e for e in before if e not in both),
        inputs_reordered=tuple(_reordered(before, after)),
        ports_changed=tuple(e for e, port in _ports(second).items() if ports.get(e, port) != port),
        feedback_added=tuple(sorted((ahead - back) & both)),
        feedback_removed=tuple(sorted((back - ahead) & both)),
        options=tuple(_option_changes(first, second)),
        metadata=tuple(note_changes(first.metadata, second.metadata)) if metadata else (),
        order=(list(mine) == list(theirs)) if same_nodes and order else None,
        unchanged=len(common) - len(changed),
    )


def assert_graphs_equal(
    a: GraphSource,
    b: GraphSource,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    metadata: bool = True,
    order: bool = True,
    dt: float | None = None,
) -> None:
    """Raise unless two graphs are equal; arguments as of ``compare_graphs``.

    Raises:
        AssertionError: they differ; its text is the comparison.

    Example:
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"input": ir.Input(shape=(2,)), "output": ir.Output(shape=(2,))},
        ...     [("input", "output")],
        ... )
        >>> assert_graphs_equal(graph, graph)
    """
    found = compare_graphs(a, b, rtol=rtol, atol=atol, metadata=metadata, order=order, dt=dt)
    if not found:
        raise AssertionError(str(found))


def _title(source: GraphSource) -> str:
    return "graph" if isinstance(source, ir.Graph) else os.fspath(source)


Entry = tuple[str, ir.Node]


def _walk(graph: ir.Graph, path: str = "") -> Iterator[tuple[str, Entry]]:
    """All nodes, those of nested graphs after the graph: name -> (name, node)."""
    for name, node in graph.nodes.items():
        yield f"{path}{name}", (f"{path}{name}", node)
        if isinstance(node, ir.Graph):
            yield from _walk(node, f"{path}{name}/")


def _edges(graph: ir.Graph, path: str = "") -> Iterator[Edge]:
    """All edges, those of nested graphs too, in order."""
    for source, target in graph.edges:
        yield f"{path}{source}", f"{path}{target}"
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph):
            yield from _edges(node, f"{path}{name}/")


def _renamed(a: Mapping[str, Entry], b: Mapping[str, Entry]) -> dict[str, str]:
    """Nodes that are equal but for their name, where there is no other that could be meant."""
    found: list[dict[str, list[str]]] = []
    for mine, theirs in ((a, b), (b, a)):
        alike: dict[str, list[str]] = defaultdict(list)
        for name, (_, node) in mine.items():
            # Inside of a nested graph that is new or gone, its name says it all.
            if name not in theirs and "/" not in name:
                alike[fingerprint_node(node)].append(name)
        found.append(alike)
    pairs = ((found[0][key], found[1].get(key, [])) for key in found[0])
    renamed = {old[0]: new[0] for old, new in pairs if len(old) == len(new) == 1}
    inside = {
        name: f"{renamed[top]}/{rest}"
        for name in a
        for top, slash, rest in [name.partition("/")]
        if slash and top in renamed
    }
    return {**renamed, **inside}


def _reordered(before: Sequence[Edge], after: Sequence[Edge]) -> Iterator[str]:
    """Nodes into which the same edges lead in another order."""
    old, new = (_sources(edges) for edges in (before, after))
    for name, sources in old.items():
        if sources != new[name] and sorted(sources) == sorted(new[name]):
            yield name


def _sources(edges: Sequence[Edge]) -> defaultdict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        found[target].append(source)
    return found


def _option_changes(a: ir.Graph, b: ir.Graph) -> list[FieldChange]:
    """What differs of two graphs beside nodes, edges and notes: options, and the order of borders.

    The order of the Inputs and Outputs is the order of what callers, and a graph around, pass.
    """
    found = []
    for field in ("allow_cycles", "feedback"):
        mine, theirs = getattr(a, field), getattr(b, field)
        if mine != theirs:
            found.append(FieldChange(field, "option", show(mine), show(theirs)))
    for field in ("inputs", "outputs"):
        mine, theirs = (list(getattr(side, field)()) for side in (a, b))
        if mine != theirs and set(mine) == set(theirs):
            found.append(FieldChange(field, "option", show(mine), show(theirs)))
    return found


def _ports(graph: ir.Graph, path: str = "") -> dict[Edge, int]:
    """Which output of its source each edge takes, those of nested graphs too."""
    found = {(f"{path}{s}", f"{path}{t}"): port for (s, t), port in graph.ports().items()}
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph):
            found |= _ports(node, f"{path}{name}/")
    return found
