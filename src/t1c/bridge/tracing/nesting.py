"""A neuron that has no primitive, as the graph that it is: one node of the network that holds it.

Its nodes are those that were followed in the code of one module: they work element by element and
have memory, one thing enters and one leaves. Nested or not, what they compute is the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from t1c import ir
from t1c.ir.shapes import as_shape
from t1c.ir.topology import Edge

ENTRY, EXIT = "input", "output"
PARTS = (
    *(ir.Accumulate, ir.Binary, ir.Clip, ir.Delay, ir.Power, ir.Scale, ir.Shift),
    *(ir.Threshold, ir.Unary, ir.Where, ir.ELU, ir.GELU, ir.ReLU, ir.Sigmoid, ir.Tanh),
)
"""What works element by element. A primitive that is a neuron may be a part too."""


def nested(graph: ir.Graph) -> ir.Graph:
    """The graph with a nested graph in the place of each neuron that has no primitive."""
    groups = [found for scope in _scopes(graph) if (found := _group(graph, scope)) is not None]
    return _rebuilt(graph, groups) if groups else graph


@dataclass(frozen=True)
class _Group:
    """The nodes of one neuron.

    Attributes:
        scope: the path of its module.
        names: of its nodes.
        source: what enters.
        last: which of its nodes is what leaves.
        typed: the shapes of what enters and leaves.
    """

    scope: str
    names: tuple[str, ...]
    source: str
    last: str
    typed: tuple[ir.Input, ir.Output]

    def inside(self, name: str) -> str:
        """What one of its nodes is called in it."""
        return _inner(self.scope, name)


def _scopes(graph: ir.Graph) -> list[str]:
    """The innermost paths under which there is memory, none of them the name of a node."""
    found: list[str] = []
    with_memory = [name for name, node in graph.nodes.items() if isinstance(node, ir.Delay)]
    paths = {name.rpartition(".")[0] for name in with_memory} - {""}
    for path in sorted(paths, key=len, reverse=True):
        if path not in graph.nodes and not any(f.startswith(f"{path}.") for f in found):
            found.append(path)
    return found


def _group(graph: ir.Graph, scope: str) -> _Group | None:
    """The neuron at a path, if its nodes are one."""
    names = tuple(name for name in graph.nodes if name.startswith(f"{scope}."))
    inner = set(names)
    if not all(_is_part(graph.nodes[name]) for name in names):
        return None
    if any(inner.intersection(edge) for edge in graph.feedback):
        return None
    entering = {a for a, b in graph.edges if b in inner and a not in inner}
    leaving = {a for a, b in graph.edges if a in inner and b not in inner}
    if len(entering) != 1 or len(leaving) != 1:
        return None
    source, last = *entering, *leaving
    group_names = {_inner(scope, name) for name in names}
    if graph.nodes[source].port_count > 1 or len(group_names) < len(names):
        return None
    shapes = [as_shape((graph.nodes[n].output_type or {}).get("output")) for n in (source, last)]
    if isinstance(graph.nodes[source], ir.Input):
        shapes[0] = tuple(map(int, graph.inputs()[source].shape))
    if shapes[0] is None or shapes[1] is None:
        return None
    return _Group(scope, names, source, last, (ir.Input(shapes[0]), ir.Output(shapes[1])))


def _inner(scope: str, name: str) -> str:
    inner = name.removeprefix(f"{scope}.")
    return f"{inner}_" if inner in (ENTRY, EXIT) else inner


def _is_part(node: ir.Node) -> bool:
    if isinstance(node, ir.Skip):
        return node.skip_type != ir.SkipType.CONCATENATE
    return isinstance(node, PARTS) or node.breaks_cycles


def _rebuilt(graph: ir.Graph, groups: list[_Group]) -> ir.Graph:
    of = {name: group for group in groups for name in group.names}
    flat = {name: f"{group.scope}/{group.inside(name)}" for name, group in of.items()}
    nodes: dict[str, ir.Node] = {}
    for name, node in graph.nodes.items():
        group = of.get(name)
        if group is None:
            nodes[name] = _renoted(node, flat)
        elif group.scope not in nodes:
            nodes[group.scope] = _neuron(graph, group, flat)

    def outer(name: str) -> str:
        return of[name].scope if name in of else name

    edges = [(outer(a), outer(b)) for a, b in graph.edges if a not in of or of.get(b) is not of[a]]
    with warnings.catch_warnings():
        # It was told of the graph as it was.
        warnings.simplefilter("ignore", ir.GraphWarning)
        return ir.Graph(
            nodes,
            list(dict.fromkeys(edges)),
            graph.metadata,
            allow_cycles=graph.allow_cycles,
            feedback=graph.feedback,
            allow_nonfinite=graph.allow_nonfinite,
        )


def _neuron(graph: ir.Graph, group: _Group, flat: Mapping[str, str]) -> ir.Graph:
    own = {name: group.inside(name) for name in group.names}
    names = {**flat, **own}
    nodes: dict[str, ir.Node] = {ENTRY: group.typed[0]}
    nodes |= {own[name]: _renoted(graph.nodes[name], names) for name in group.names}
    nodes[EXIT] = group.typed[1]
    edges: list[Edge] = [(own.get(a, ENTRY), own[b]) for a, b in graph.edges if b in own]
    return ir.Graph(
        nodes,
        [*edges, (own[group.last], EXIT)],
        allow_cycles=graph.allow_cycles,
        allow_nonfinite=graph.allow_nonfinite,
    )


def _renoted(node: ir.Node, names: Mapping[str, str]) -> ir.Node:
    """A node whose notes call others by what they are called now."""
    notes: dict[str, Any] = dict(node.metadata)
    if notes.get("copy_of") in names:
        notes["copy_of"] = names[notes["copy_of"]]
    if isinstance(notes.get("tied"), Mapping):
        notes["tied"] = {
            field: ".".join((names.get(other, other), theirs))
            for field, place in notes["tied"].items()
            for other, _, theirs in [str(place).rpartition(".")]
        }
    return node if notes == node.metadata else node.replace(metadata=notes)
