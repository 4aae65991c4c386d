"""A part of a graph, as a graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import numpy as np

from t1c import ir
from t1c.ir.errors import GraphError, Problem
from t1c.ir.naming import unique
from t1c.ir.shapes import as_shape
from t1c.ir.topology import Edge, Topology
from t1c.nir import GraphSource, read_graph

from .rebuild import late_edges, rebuilt


def extract_subgraph(
    source: GraphSource,
    nodes: Iterable[str] | None = None,
    *,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    dt: float | None = None,
) -> ir.Graph:
    """The part of a graph between some nodes, or made of some nodes.

    Say either ``nodes``: these, and all edges among them; what arrives from elsewhere comes from
    Inputs, and what leaves for elsewhere, or for nowhere, goes to Outputs. Or ``inputs`` and
    ``outputs``: all that it takes to compute what the nodes ``outputs`` send from what the nodes
    ``inputs`` send.

    A node whose values are given now becomes an Input of its name; of a node with several outputs
    each that is needed, named ``split.0``. What a node ``n`` sends leaves by the Output ``n.out``.
    Inputs and Outputs of the graph stay what they are. An edge that ran back in time, and closes no
    loop any more, becomes a Delay of one step.

    Precondition: the names are nodes of the graph itself, not of a graph nested in it.
    Postcondition: given what these nodes send in the whole graph, step by step from rest, every
    Output gives what its node sends there, bit for bit.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        nodes: the nodes to take.
        inputs: nodes whose values will be given; None: the graph's Inputs.
        outputs: nodes whose values are wanted; None: the graph's Outputs.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        GraphError: a name is no node of the graph, or nothing is left.
        UnsupportedError: a loop that is cut within a nested graph would run otherwise.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "a": ir.Scale(np.ones(2)), "b": ir.Scale(np.ones(2)),
        ...      "out": ir.Output((2,))},
        ...     [("in", "a"), ("a", "b"), ("b", "out")],
        ... )
        >>> list(extract_subgraph(graph, inputs=["a"]).nodes)
        ['a', 'b', 'out']
        >>> list(extract_subgraph(graph, ["a"]).nodes)
        ['in', 'a', 'a.out']
    """
    graph = read_graph(source, dt)
    if nodes is not None and (inputs is not None or outputs is not None):
        raise GraphError(
            Problem("nodes beside inputs or outputs", "one way of saying it", "Drop one of them.")
        )
    if nodes is not None:
        kept = set(_known(graph, nodes, "nodes"))
        return _cut(graph, kept, _senders(graph, kept))
    wanted = list(graph.outputs()) if outputs is None else _known(graph, outputs, "outputs")
    given = [] if inputs is None else _known(graph, inputs, "inputs")
    kept = _needed(graph, wanted, set(given))
    _all_used(given, {a for a, b in graph.edges if b in kept}, wanted)
    return _cut(graph, kept, set(wanted))


def _known(graph: ir.Graph, names: Iterable[str], what: str) -> list[str]:
    names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    unknown = [name for name in names if name not in graph.nodes]
    if unknown or not names:
        found = ", ".join(map(repr, unknown)) if unknown else "no names"
        near = ", ".join(map(repr, list(graph.nodes)[:20]))
        raise GraphError(Problem(found, f"nodes of the graph, such as {near}", where=what))
    return names


def _all_used(given: list[str], used: Collection[str], wanted: list[str]) -> None:
    idle = [name for name in given if name not in used]
    if idle:
        raise GraphError(
            Problem(
                f"nothing of {', '.join(map(repr, idle))} reaches {', '.join(map(repr, wanted))}",
                "inputs that the outputs need",
                "Drop them, or ask for other outputs.",
                "inputs",
            )
        )


def _needed(graph: ir.Graph, wanted: list[str], given: set[str]) -> set[str]:
    """The nodes that it takes to compute those wanted, the given ones left out."""
    both = [name for name in wanted if name in given]
    if both:
        raise GraphError(
            Problem(f"{both[0]!r} is among the inputs and the outputs", "one of the two")
        )
    before, kept, stack = graph.topology().before, set(wanted), list(wanted)
    while stack:
        for name in before[stack.pop()]:
            if name not in given and name not in kept:
                kept.add(name)
                stack.append(name)
    return kept


def _senders(graph: ir.Graph, kept: set[str]) -> set[str]:
    """Those of the nodes whose values are needed elsewhere, or nowhere."""
    after = graph.topology().after
    return {n for n in kept if not after[n] or any(t not in kept for t in after[n])}


def _cut(graph: ir.Graph, kept: set[str], wanted: set[str]) -> ir.Graph:
    """The nodes ``kept`` with Inputs for what enters, and Outputs for what ``wanted`` send."""
    ports, late = graph.ports(), late_edges(graph)  # edge -> its flat name
    nodes: dict[str, ir.Node] = {}
    edges: list[Edge] = []
    entries: dict[tuple[str, int], str] = {}
    delayed: set[Edge] = set()
    taken = set(graph.nodes)

    def add(name: str, node: ir.Node) -> str:
        name = unique(name, taken)
        taken.add(name)
        nodes[name] = node
        return name

    def entry(source: str, port: int) -> str:
        """The Input that stands for what a node sent."""
        node = graph.nodes[source]
        if (source, port) not in entries:
            if node.port_count == 1:
                nodes[source] = (
                    node if isinstance(node, ir.Input) else ir.Input(shape=_sent(node, 0))
                )
                entries[source, port] = source
            else:
                entries[source, port] = add(f"{source}.{port}", ir.Input(shape=_sent(node, port)))
        return entries[source, port]

    by_target = graph.topology().before
    for name, node in graph.nodes.items():
        if name in kept:
            for source in by_target[name]:
                if source not in kept:
                    entry(source, ports[source, name])
            nodes[name] = node
    inside = Topology(kept, [(a, b) for a, b in graph.edges if a in kept and b in kept])
    broken = set(inside.off_cycle(edge for edge in inside.edges if edge in late))
    for source, target in graph.edges:
        if target not in kept:
            continue
        start = source if source in kept else entry(source, ports[source, target])
        if (source, target) in late and (source not in kept or (source, target) in broken):
            delay = add(f"{source}.delay", ir.Delay(delay=np.array(1)))
            delayed.add((source, target))
            edges += [(start, delay), (delay, target)]
        else:
            edges.append((start, target))
    for name in graph.nodes:
        if name not in kept or isinstance(graph.nodes[name], ir.Output):
            continue
        if graph.nodes[name].port_count > 1:
            edges = _several(graph, name, kept, name in wanted, edges, add)
        elif name in wanted:
            out = add(f"{name}.out", ir.Output(shape=_sent(graph.nodes[name], 0)))
            edges.append((name, out))
    if not any(isinstance(node, ir.Input) for node in nodes.values()):
        raise GraphError(
            Problem("a part that nothing enters", "at least one value to give it", "", "inputs")
        )
    back = set(graph.feedback_edges()) - {late[edge] for edge in delayed}
    return rebuilt(graph, nodes, edges, back)


def _several(
    graph: ir.Graph,
    name: str,
    kept: set[str],
    wanted: bool,
    edges: list[Edge],
    add: Callable[[str, ir.Node], str],
) -> list[Edge]:
    """Edges in which each output of a node with several is taken as it was.

    The k-th edge that leaves takes the k-th output: those before one that is used have to be taken.
    """
    node, ports = graph.nodes[name], graph.ports()
    used = {port: t for (s, t), port in ports.items() if s == name and t in kept}
    if not wanted and sorted(used) == list(range(len(used))):
        return edges
    through: dict[Edge, Edge] = {}
    leaving: list[Edge] = []
    for port in range(node.port_count):
        if wanted:
            out = add(f"{name}.{port}.out", ir.Output(shape=_sent(node, port)))
        if port in used or (not wanted and port < max(used)):
            middle = add(f"{name}.{port}", ir.Identity())
            leaving.append((name, middle))
            if port in used:
                through[name, used[port]] = (middle, used[port])
            if wanted:
                leaving.append((middle, out))
        elif wanted:
            leaving.append((name, out))
    return [through.get(edge, edge) for edge in edges] + leaving


def _sent(node: ir.Node, port: int) -> tuple[int, ...]:
    shapes = [as_shape(shape) for shape in (node.output_type or {}).values()]
    return shapes[port] or ()
