"""Two graphs in one picture: what was added, removed and changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from t1c import ir
from t1c.ir.fields import show
from t1c.ir.values import same_value
from t1c.nir import GraphSource, counterpart_dt, read_graph

from .graph_dict import graph_to_dict
from .layout import lay_out
from .render import page, page_data


def diff_html(
    a: GraphSource, b: GraphSource, title: str | None = None, *, dt: float | None = None
) -> str:
    """The page that shows the second graph, and in it what differs from the first.

    Nodes are matched by name. What only the second has is green, what only the first has is red
    and stands where it stood, what both have and differs is yellow; the panel says in what.

    Args:
        a: the first graph, or a path of a ``.t1c`` or ``.nir`` file.
        b: the second.
        title: of the page.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: a file is not valid, or its dt is not known.
    """
    return page(page_data(lay_out(diff_to_dict(a, b, title, dt=dt))))


def diff_to_dict(
    a: GraphSource, b: GraphSource, title: str | None = None, *, dt: float | None = None
) -> dict[str, Any]:
    """What ``graph_to_dict`` gives for both graphs together.

    Nodes and edges that differ have a ``status``: 'added', 'removed' or 'changed'; nodes that
    changed have ``changes``, a line for each thing. ``differs`` lists what differs besides nodes.
    """
    if title is None:
        sides = (("first", a), ("second", b))
        title = " → ".join(n if isinstance(g, ir.Graph) else Path(g).name for n, g in sides)
    dt = counterpart_dt(a, b, dt)
    first, second = read_graph(a, dt), read_graph(b, dt)
    old, new = graph_to_dict(first), graph_to_dict(second, title)
    old_nodes, new_nodes = _inlined(first), _inlined(second)
    for node in new["nodes"]:
        before = old_nodes.get(node["id"])
        lines = [] if before is None else before.difference(new_nodes[node["id"]])
        if before is None:
            node["status"] = "added"
        elif lines:
            node |= {"status": "changed", "changes": lines}
    groups = {group["id"] for group in new["groups"] if group["kind"] == "graph"}
    for node in old["nodes"]:
        if node["id"] not in new_nodes:
            # It stands in the nested graph that it was part of, or in the nearest one around it.
            group = node["id"].rpartition("/")[0]
            while group and group not in groups:
                group = group.rpartition("/")[0]
            new["nodes"].append({**node, "group": group or None, "status": "removed"})
    _edges(old, new)
    new["differs"] = _whole(first, second, new["edges"])
    return new


def _edges(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = {(e["source"], e["target"]): e for e in old["edges"]}
    after = {(e["source"], e["target"]): e for e in new["edges"]}
    for pair, edge in after.items():
        if pair not in before:
            edge["status"] = "added"
        elif before[pair]["feedback"] != edge["feedback"]:
            edge["status"] = "changed"
    new["edges"] += [
        {**edge, "status": "removed"} for pair, edge in before.items() if pair not in after
    ]


def _inlined(graph: ir.Graph, path: str = "") -> dict[str, ir.Node]:
    """All nodes under the ids of ``graph_to_dict``, none of them a graph."""
    found: dict[str, ir.Node] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph):
            found |= _inlined(node, f"{path}{name}/")
        else:
            found[path + name] = node
    return found


def _whole(first: ir.Graph, second: ir.Graph, edges: list[dict[str, Any]]) -> list[str]:
    """What differs and is no node, a line each."""
    lines = []
    if first.feedback != second.feedback:
        lines.append(f"feedback: {show(first.feedback)} and {show(second.feedback)}")
    mine, theirs = dict(_notes(first.metadata)), dict(_notes(second.metadata))
    for key in {**mine, **theirs}:
        before, after = mine.get(key), theirs.get(key)
        if not same_value(before, after):
            lines.append(f"metadata {key}: {_shown(before)} and {_shown(after)}")
    lines += [
        f"edge {edge['source']} → {edge['target']}: {edge['status']}"
        for edge in edges
        if "status" in edge
    ]
    same = {"nodes": (first.nodes, second.nodes), "edges": (first.edges, second.edges)}
    for name, (before, after) in same.items():
        if list(before) != list(after) and set(before) == set(after):
            lines.append(f"{name}: the same in another order")
    return lines


def _notes(metadata: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in metadata.items():
        if isinstance(value, Mapping):
            yield from _notes(value, f"{path}{key}.")
        else:
            yield path + key, value


def _shown(value: Any) -> str:
    return "none" if value is None else show(value)
