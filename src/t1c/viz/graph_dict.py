"""A graph as a plain dictionary: what every picture is drawn from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t1c import ir
from t1c.ir.table import printable
from t1c.nir import GraphSource, read_graph
from t1c.sdk.jsonable import jsonable
from t1c.sdk.nodes import NodeInfo, node_infos

from .blocks import Block, find_blocks
from .palette import family_of
from .summaries import brief, summarize_array

FORMAT = 1
"""Raised when a key changes its meaning."""


def graph_to_dict(
    source: GraphSource,
    title: str | None = None,
    *,
    dt: float | None = None,
    allow_nonfinite: bool = False,
) -> dict[str, Any]:
    """Everything that a picture of a graph shows, as JSON can hold it.

    Keys:
        ``format``: 1.
        ``title``: as given, or the file's name.
        ``nodes``: objects with ``id`` (the name; ``g/n`` for a node of a nested graph), ``name``,
            ``group`` (the id of the group that it lies in, or None), ``type``, ``label`` (the type,
            and what a border says of time), ``family`` (see ``t1c.viz.palette``), ``input_type``
            and ``output_type`` (port name -> shape), ``fields`` (those that are not arrays),
            ``parameters`` (name -> summary, see ``summarize_array``), ``parameter_count``,
            ``bytes``, ``state`` (numbers carried per sample) and ``metadata``.
        ``groups``: what can be folded, outer before inner: objects with ``id``, ``name``,
            ``prefix`` (what the names of most of its nodes begin with), ``types`` (the first few
            types of its nodes; '' for a nested graph), ``group``, ``kind`` ('graph'
            for a nested graph; found by their form: 'repeat' for equal parts in a row, 'part' for
            one of them, 'residual', 'branches', 'loop'), ``times`` (how many equal parts) and
            ``metadata``.
        ``edges``: objects with ``source`` and ``target`` (ids of nodes, in the order of inputs;
            an edge to a nested graph ends at its Input) and ``feedback`` (it delivers what was sent
            in the previous step).
        ``metadata``: the graph's notes.

    Args:
        source: a graph, or a path of a ``.t1c`` or ``.nir`` file.
        title: of the picture.
        dt: seconds in one step, for a ``.nir`` file that does not say it.
        allow_nonfinite: accept NaN and infinite parameters in a file.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: the file is not valid, or its dt is not known.
    """
    graph = read_graph(source, dt, allow_nonfinite=allow_nonfinite)
    if title is None:
        title = "graph" if isinstance(source, ir.Graph) else Path(os.fspath(source)).name
    flat = graph.flat()
    back = set(flat.feedback_edges())
    nodes: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for scope in _scopes(graph, None):
        nodes += [_node(scope, info) for info in node_infos(scope.graph)]
        groups += _groups(scope)
    nodes = [node for node in nodes if node["type"] != "Graph"]
    return {
        "format": FORMAT,
        "title": title,
        "nodes": nodes,
        "groups": _outer_first(groups),
        "edges": [{"source": a, "target": b, "feedback": (a, b) in back} for a, b in flat.edges],
        "metadata": brief(graph.metadata),
    }


@dataclass
class _Scope:
    """A graph, and where it lies: ``path`` is its id, None for the outermost."""

    graph: ir.Graph
    path: str | None
    blocks: list[Block]
    home: dict[str, str | None]
    """Node name -> the id of the group that it lies in."""
    block_ids: dict[int, str]

    def id(self, name: str) -> str:
        return name if self.path is None else f"{self.path}/{name}"


def _scopes(graph: ir.Graph, path: str | None) -> Iterator[_Scope]:
    """The graph and those nested in it, outer before inner."""
    back = {(_top(a), _top(b)) for a, b in graph.feedback_edges()}
    signatures = {name: _signature(node) for name, node in graph.nodes.items()}
    blocks = find_blocks(list(graph.nodes), graph.edges, back, signatures)
    scope = _Scope(graph, path, blocks, dict.fromkeys(graph.nodes, path), {})
    for block in blocks:
        _settle(scope, block)
    yield scope
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph):
            yield from _scopes(node, scope.id(name))


def _top(name: str) -> str:
    """The node of a graph that an inlined node is, or lies in."""
    return name.partition("/")[0]


def _settle(scope: _Scope, block: Block) -> None:
    # No name holds a slash or is empty, so that no node is called so.
    ident = f"{scope.path or ''}//{len(scope.block_ids)}"
    scope.block_ids[id(block)] = ident
    for part in block.parts:
        if isinstance(part, Block):
            _settle(scope, part)
        else:
            scope.home[part] = ident


def _groups(scope: _Scope) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    types = {name: node.primitive for name, node in scope.graph.nodes.items()}

    def add(block: Block, parent: str | None) -> None:
        ident = scope.block_ids[id(block)]
        found.append(
            {
                "id": ident,
                "name": printable(block.title(types)),
                "prefix": printable(block.prefix()),
                "types": block.types(types),
                "group": parent,
                "kind": block.kind,
                "times": block.times,
                "metadata": {},
            }
        )
        for part in block.parts:
            if isinstance(part, Block):
                add(part, ident)

    for block in scope.blocks:
        add(block, scope.path)
    for name, node in scope.graph.nodes.items():
        if isinstance(node, ir.Graph):
            found.append(
                {
                    "id": scope.id(name),
                    "name": printable(name),
                    "prefix": "",
                    "types": "",
                    "group": scope.home[name],
                    "kind": "graph",
                    "times": 1,
                    "metadata": brief(node.metadata),
                }
            )
    return found


def _outer_first(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_id = {group["id"]: group for group in groups}

    def depth(group: dict[str, Any]) -> int:
        count = 0
        while group["group"] is not None:
            group, count = by_id[group["group"]], count + 1
        return count

    return sorted(groups, key=depth)


def _node(scope: _Scope, info: NodeInfo) -> dict[str, Any]:
    node = scope.graph.nodes[info.name]
    arrays = {} if isinstance(node, ir.Graph) else node.parameters()
    fields = {} if isinstance(node, ir.Graph) else node.values()
    return {
        "id": scope.id(info.name),
        "name": printable(info.name),
        "group": scope.home[info.name],
        "type": info.type,
        "label": info.kind,
        "family": family_of(node),
        "input_type": jsonable(info.input_type),
        "output_type": jsonable(info.output_type),
        "fields": brief({k: v for k, v in fields.items() if k not in arrays and v is not None}),
        "parameters": {name: summarize_array(array) for name, array in arrays.items()},
        "parameter_count": info.parameters,
        "bytes": info.bytes,
        "state": info.state,
        "metadata": brief(info.metadata),
    }


def _signature(node: ir.Node) -> str:
    """Equal for nodes that differ in the values of their arrays and in names outside alone."""
    if isinstance(node, ir.Graph):
        inner = {name: _signature(part) for name, part in node.nodes.items()}
        # A text within a text within a text would be twice as long at each level.
        return hashlib.sha256(json.dumps([inner, node.edges]).encode()).hexdigest()
    kept = {
        name: [list(value.shape), str(value.dtype)] if name in node.parameters() else repr(value)
        for name, value in node.values().items()
    }
    return json.dumps([node.primitive, kept])
