"""Two graphs as one: one behind the other, or side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from t1c import ir
from t1c.ir.errors import GraphError, GraphWarning, Problem
from t1c.ir.topology import Edge
from t1c.nir import GraphSource, read_graph

from .rebuild import rebuilt

How = Literal["series", "parallel"]


def merge_graphs(
    first: GraphSource,
    second: GraphSource,
    how: How = "series",
    *,
    connect: Mapping[str, str] | None = None,
    names: tuple[str, str] | None = None,
    dt: float | None = None,
) -> ir.Graph:
    """One graph of two.

    'series': what leaves Outputs of the first arrives at Inputs of the second, in the same step;
    the Outputs and Inputs that meet are gone, or an Identity where they added several edges.
    Those that do not meet stay Inputs and Outputs of the whole. 'parallel': both stand side by side
    with their own Outputs; ``connect`` says which Inputs are one.

    Notes of the graphs are kept under the keys ``first`` and ``second`` (or ``names``).

    Precondition: no name is in both graphs, or ``names`` tells them apart. Outputs that meet Inputs
    are not ``final`` and these do not ``hold``: what that says holds at the border of a run only.
    Postcondition: every Output gives what its graph gives by itself, bit for bit, when it is given
    what arrives, from rest.

    Args:
        first: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        second: another.
        how: 'series' or 'parallel'.
        connect: in series Output of the first -> Input of the second; None: in their order, as
            many as there are of both. In parallel Input of the first -> Input of the second, which
            it becomes; None: each keeps its own.
        names: put before the names of nodes, as in ``first.fc1``; None: names stay.
        dt: seconds in one step, for ``.nir`` files that do not say it.

    Raises:
        GraphError: a name is in both graphs, no such border, or shapes that do not meet.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> def scale(value):
        ...     nodes = {"in": ir.Input((1,)), "s": ir.Scale(np.array([value])),
        ...              "out": ir.Output((1,))}
        ...     return ir.Graph(nodes, [("in", "s"), ("s", "out")])
        >>> both = merge_graphs(scale(2.0), scale(3.0), names=("a", "b"))
        >>> list(both.nodes)
        ['a.in', 'a.s', 'b.s', 'b.out']
        >>> float(ir.Reference(both).run(np.ones((1, 1, 1)))[0].item())
        6.0
    """
    a, b = read_graph(first, dt), read_graph(second, dt)
    labels = names or ("first", "second")
    if names is not None:
        if names[0] == names[1]:
            raise GraphError(Problem(f"names={names!r}", "two different names"))
        a, b = (_renamed(graph, name) for graph, name in zip((a, b), names, strict=True))
        if connect is not None:
            connect = {f"{names[0]}.{x}": f"{names[1]}.{y}" for x, y in connect.items()}
    _check_names(a, b)
    if how == "series":
        nodes, edges = _in_series(a, b, connect)
    elif how == "parallel":
        nodes, edges = _side_by_side(a, b, connect or {})
    else:
        raise GraphError(Problem(f"how={how!r}", "'series' or 'parallel'"))
    notes = {
        label: graph.metadata for label, graph in zip(labels, (a, b), strict=True) if graph.metadata
    }
    return rebuilt(
        a,
        nodes,
        edges,
        [*a.feedback_edges(), *b.feedback_edges()],
        stated=[*a.feedback, *b.feedback],
        metadata=notes,
        allow_cycles=a.allow_cycles or b.allow_cycles,
        allow_nonfinite=a.allow_nonfinite or b.allow_nonfinite,
    )


def _renamed(graph: ir.Graph, name: str) -> ir.Graph:
    """The graph with ``name.`` before the names of its nodes, and of those that notes speak of."""

    def new(node: str) -> str:
        return f"{name}.{node}"

    nodes = {new(old): _with_notes(node, new, ()) for old, node in graph.nodes.items()}
    edges = [(new(source), new(target)) for source, target in graph.edges]
    feedback = [(new(source), new(target)) for source, target in graph.feedback]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)  # of dead ends, once more
        renamed: ir.Graph = graph.replace(nodes=nodes, edges=edges, feedback=feedback)
    return renamed


def _with_notes(node: ir.Node, new: Callable[[str], str], near: Collection[str]) -> ir.Node:
    """The node with the new names of those that its notes speak of.

    Within a nested graph a name is that of a node beside it (``near``), or else as in ``flat()``.
    """
    if isinstance(node, ir.Graph):
        inside = {name: _with_notes(part, new, node.nodes) for name, part in node.nodes.items()}
        changed = any(inside[name] is not part for name, part in node.nodes.items())
        return node.replace(nodes=inside) if changed else node
    notes = dict(node.metadata)
    other, tied = notes.get("copy_of"), notes.get("tied")
    if isinstance(other, str) and other not in near:
        notes["copy_of"] = new(other)
    if isinstance(tied, Mapping):
        notes["tied"] = {
            field: place if place.rpartition(".")[0] in near else new(place)
            for field, place in tied.items()
            if isinstance(place, str)
        }
    return node.replace(metadata=notes) if notes != node.metadata else node


def _check_names(a: ir.Graph, b: ir.Graph) -> None:
    both = [name for name in a.nodes if name in b.nodes]
    if both:
        raise GraphError(
            Problem(
                f"{', '.join(map(repr, both[:5]))} in both graphs",
                "names that tell the nodes apart",
                "Pass names=('a', 'b'), which go before the names of nodes.",
            )
        )


def _pairs(
    connect: Mapping[str, str],
    ends: Mapping[str, ir.Input] | Mapping[str, ir.Output],
    starts: Mapping[str, ir.Input],
) -> dict[str, str]:
    """``connect``, with its names and shapes checked."""
    problems = []
    for one, other in connect.items():
        where = f"connect {one!r} -> {other!r}"
        if one not in ends or other not in starts:
            expected = f"one of {list(ends)} and one of {list(starts)}"
            problems.append(Problem("no such border", expected, where=where))
            continue
        shapes = tuple(ends[one].shape), tuple(starts[other].shape)
        if shapes[0] != shapes[1]:
            found = f"shapes {shapes[0]} and {shapes[1]}"
            problems.append(Problem(found, "equal shapes", where=where))
    if len(set(connect.values())) < len(connect):
        problems.append(Problem(f"connect={dict(connect)}", "each border once"))
    if problems:
        raise GraphError(problems)
    return dict(connect)


def _in_series(
    a: ir.Graph, b: ir.Graph, connect: Mapping[str, str] | None
) -> tuple[dict[str, ir.Node], list[Edge]]:
    ends, starts = a.outputs(), b.inputs()
    if connect is None:
        connect = dict(zip(ends, starts, strict=False))
    pairs = _pairs(connect, ends, starts)
    problems = [
        Problem(f"{said} at the border between the graphs", "neither", "Drop it.", f"node {name!r}")
        for one, other in pairs.items()
        for name, said in (
            *([(one, "final=True")] if ends[one].final else []),
            *([(other, f"hold={starts[other].hold}")] if starts[other].hold is not None else []),
        )
    ]
    if problems:
        raise GraphError(problems)
    nodes = {n: node for n, node in {**a.nodes, **b.nodes}.items() if n not in pairs.values()}
    sources: dict[str, str] = {}
    before = a.topology().before
    for one, other in pairs.items():
        lone = before[one][0]
        if len(before[one]) == 1 and a.nodes[lone].port_count == 1 and lone not in sources.values():
            sources[other] = lone
            del nodes[one]
        else:
            nodes[one] = ir.Identity(metadata=a.nodes[one].metadata)
            sources[other] = one
    edges = [edge for edge in a.edges if edge[1] in nodes]
    edges += [(sources.get(source, source), target) for source, target in b.edges]
    return nodes, edges


def _side_by_side(
    a: ir.Graph, b: ir.Graph, connect: Mapping[str, str]
) -> tuple[dict[str, ir.Node], list[Edge]]:
    starts, others = a.inputs(), b.inputs()
    shared = {other: one for one, other in _pairs(connect, starts, others).items()}
    for other, one in shared.items():
        if starts[one].hold != others[other].hold:
            found = f"hold={starts[one].hold} and hold={others[other].hold}"
            raise GraphError(Problem(found, "the same", where=f"connect {one!r} -> {other!r}"))
    nodes = {n: node for n, node in {**a.nodes, **b.nodes}.items() if n not in shared}
    return nodes, [*a.edges, *((shared.get(s, s), t) for s, t in b.edges)]
