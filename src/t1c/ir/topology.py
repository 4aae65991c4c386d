"""What the edges alone say: order, cycles, and which edges run back in time.

Works on names and edges, so that the representation and the executors share one answer.

The rule for feedback
---------------------
A cycle costs exactly one time step, and the step lies at the output of a neuron: an edge that runs
back delivers what its neuron sent in the previous step. Which edges these are follows from how the
loop is reached, never from names or from the order of nodes and edges:

1. Take a loop (a strongly connected part). It *starts* at a neuron that the outside of the loop
   reaches first, directly or through stateless nodes. A loop that nothing outside reaches may
   start at any of its neurons.
2. If several neurons qualify, it starts at the one farthest from any Output; among equals at the
   one nearest to an Input; among equals at the one that the fewest edges of other neurons run back
   to. Distance counts the neurons on the shortest path.
3. The edges of neurons inside the loop that lead to its start, directly or through stateless
   nodes, run back. They are cut, and the rule is applied to the loops that are left.

If several neurons still qualify and the choice would matter, the loop is symmetric and nothing but
a name could decide: the graph is refused, and asks to be told with ``feedback=[...]``.

A node with a delay of its own (``delays``) is the delay of every loop through it: its outgoing
edges carry the past already and are never counted as part of a loop.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

import rustworkx as rx

from .errors import GraphError, Problem

Edge = tuple[str, str]


class Topology:
    """Nodes and edges, indexed both ways.

    Args:
        nodes: all names; their order breaks ties of order, never of meaning.
        edges: (source, target) pairs of known names.
    """

    def __init__(self, nodes: Iterable[str], edges: Iterable[Edge]) -> None:
        self.nodes = list(nodes)
        self.edges = list(edges)
        self.before: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.after: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            self.before[target].append(source)
            self.after[source].append(target)

    def loops(self) -> list[list[str]]:
        """The strongly connected parts that hold a cycle."""
        return [p for p in self.parts() if len(p) > 1 or p[0] in self.after[p[0]]]

    def parts(self) -> list[list[str]]:
        """All strongly connected parts, each before those it leads to."""
        index = {name: i for i, name in enumerate(self.nodes)}
        found = rx.strongly_connected_components(self._digraph())
        parts = [sorted(part) for part in found]
        of = {i: k for k, part in enumerate(parts) for i in part}
        condensed = rx.PyDiGraph(multigraph=False)
        condensed.add_nodes_from(list(range(len(parts))))
        for source, target in self.edges:
            a, b = of[index[source]], of[index[target]]
            if a != b:
                condensed.add_edge(a, b, None)
        order = rx.lexicographical_topological_sort(condensed, key=lambda k: f"{parts[k][0]:012d}")
        return [[self.nodes[i] for i in parts[k]] for k in order]

    def order(self) -> list[str]:
        """All nodes, each after those that lead to it.

        Raises:
            GraphError: there is a cycle.
        """
        loops = self.loops()
        if loops:
            raise GraphError(
                [Problem(f"the cycle {' -> '.join(self.cycle_in(loop))}") for loop in loops]
            )
        return [part[0] for part in self.parts()]

    def cycle_in(self, loop: Collection[str]) -> list[str]:
        """One cycle through a loop, its first name repeated at the end."""
        start = next(name for name in self.nodes if name in set(loop))
        inside = set(loop)
        previous: dict[str, str] = {}
        queue = [start]
        for name in queue:
            for target in self.after[name]:
                if target == start:
                    path = [name]
                    while path[-1] != start:
                        path.append(previous[path[-1]])
                    return [*reversed(path), start]
                if target in inside and target not in previous:
                    previous[target] = name
                    queue.append(target)
        return [start]

    def reachable(self, sources: Iterable[str]) -> set[str]:
        """The sources and all that they lead to."""
        return _spread(self.after, sources)

    def leading_to(self, targets: Iterable[str]) -> set[str]:
        """The targets and all that leads to them."""
        return _spread(self.before, targets)

    def _digraph(self) -> rx.PyDiGraph[str, None]:
        index = {name: i for i, name in enumerate(self.nodes)}
        graph: rx.PyDiGraph[str, None] = rx.PyDiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from_no_data([(index[a], index[b]) for a, b in self.edges])
        return graph


def _spread(step: dict[str, list[str]], names: Iterable[str]) -> set[str]:
    seen = set(names)
    stack = list(seen)
    while stack:
        for name in step[stack.pop()]:
            if name not in seen:
                seen.add(name)
                stack.append(name)
    return seen


def feedback_edges(
    nodes: Sequence[str],
    edges: Sequence[Edge],
    neurons: Collection[str],
    delays: Collection[str] = (),
    inputs: Collection[str] = (),
    outputs: Collection[str] = (),
    stated: Iterable[Edge] = (),
) -> list[Edge]:
    """The edges that deliver what their source sent in the previous step, in the order of edges.

    Args:
        nodes: all names.
        edges: all edges.
        neurons: the nodes at whose output a cycle may be cut.
        delays: the nodes that delay by at least one step by themselves.
        inputs: where data enters (for rule 2).
        outputs: where results leave (for rule 2).
        stated: edges that run back because somebody says so; the rule decides about the rest.

    Raises:
        GraphError: a cycle has no neuron, or its start cannot be decided.
    """
    stated = set(stated)
    past = {e for e in edges if e[0] in delays}
    present = [e for e in edges if e not in stated and e not in past]
    whole = Topology(nodes, edges)
    ranks = _Ranks(
        _distance(whole.before, outputs, neurons), _distance(whole.after, inputs, neurons)
    )
    cut = _cut(nodes, present, set(neurons), ranks, entered=None, tried={})
    back = cut | stated
    return [e for e in edges if e in back]


class _Ranks:
    def __init__(self, to_output: dict[str, float], from_input: dict[str, float]) -> None:
        self.to_output, self.from_input = to_output, from_input

    def of(self, name: str) -> tuple[float, float]:
        """Smaller is nearer to the start of a loop."""
        return (-self.to_output.get(name, math.inf), self.from_input.get(name, math.inf))


def _distance(
    step: dict[str, list[str]], names: Iterable[str], neurons: Collection[str]
) -> dict[str, float]:
    """How many neurons lie on the shortest way from ``names``, its ends not counted."""
    best: dict[str, float] = dict.fromkeys(names, 0.0)
    level = list(best)
    distance = 0.0
    while level:
        # Everything that stateless nodes reach is as near as what they stand next to.
        following: list[str] = []
        for name in level:
            for target in step[name]:
                if target in best:
                    continue
                best[target] = distance
                (following if target in neurons else level).append(target)
        level, distance = following, distance + 1
    return best


Memo = dict[tuple[frozenset[str], frozenset[Edge], frozenset[str]], frozenset[Edge]]


def _cut(
    nodes: Sequence[str],
    edges: list[Edge],
    neurons: set[str],
    ranks: _Ranks,
    entered: set[str] | None,
    tried: Memo,
) -> frozenset[Edge]:
    """Rules 1 to 3 on every loop of the graph that ``nodes`` and ``edges`` make."""
    topology = Topology(nodes, edges)
    found: set[Edge] = set()
    for loop in topology.loops():
        inside = set(loop)
        doors = {b for a, b in edges if b in inside and a not in inside}
        if entered is not None:
            doors |= entered & inside
        inner = [e for e in edges if e[0] in inside and e[1] in inside]
        key = (frozenset(inside), frozenset(inner), frozenset(doors))
        if key not in tried:
            tried[key] = _cut_loop(loop, inner, doors, neurons, ranks, tried)
        found |= tried[key]
    return frozenset(found)


def _cut_loop(
    loop: list[str],
    edges: list[Edge],
    doors: set[str],
    neurons: set[str],
    ranks: _Ranks,
    tried: Memo,
) -> frozenset[Edge]:
    topology = Topology(loop, edges)
    if not neurons & set(loop) or Topology(loop, [e for e in edges if e[0] not in neurons]).loops():
        stateless = Topology(loop, [e for e in edges if e[0] not in neurons])
        cycle = stateless.cycle_in((stateless.loops() or [loop])[0])
        raise GraphError(
            Problem(
                f"the cycle {' -> '.join(cycle)} has neither a neuron nor a Delay",
                "a cycle that passes through one, which gives it its time step",
                "Put a neuron or a Delay into the cycle.",
                where="graph",
            )
        )
    reached = {e: _first_neurons(topology, e[1], neurons) for e in edges if e[0] in neurons}
    fronts = set().union(*(_first_neurons(topology, d, neurons) for d in doors)) or (
        neurons & set(loop)
    )

    def back_to(name: str) -> frozenset[Edge]:
        return frozenset(e for e, first in reached.items() if name in first)

    def rank(name: str) -> tuple[float, float, int]:
        others = sum(1 for source, _ in back_to(name) if source != name)
        return (*ranks.of(name), others)

    lowest = min(rank(name) for name in fronts)
    results = {}
    for start in (name for name in loop if name in fronts and rank(name) == lowest):
        cut = back_to(start)
        left = [e for e in edges if e not in cut]
        entered = doors | {b for _, b in cut}
        results[start] = cut | _cut(loop, left, neurons, ranks, entered, tried)
    if len(set(results.values())) > 1:
        names = " and ".join(repr(name) for name in results)
        example = sorted(min(results.values(), key=sorted))
        raise GraphError(
            Problem(
                f"the loop through {names} is symmetric: it could start at either, and each choice "
                "delays other edges",
                "a loop whose start can be told from its edges",
                f"Say which edges run back, for example feedback={example}.",
                where="graph",
            )
        )
    return next(iter(results.values()))


def _first_neurons(topology: Topology, name: str, neurons: set[str]) -> set[str]:
    """The neurons that a value arriving at ``name`` meets first."""
    if name in neurons:
        return {name}
    seen, found, stack = {name}, set(), [name]
    while stack:
        for target in topology.after[stack.pop()]:
            if target in neurons:
                found.add(target)
            elif target not in seen:
                seen.add(target)
                stack.append(target)
    return found
