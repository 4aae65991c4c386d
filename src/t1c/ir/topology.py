"""What the edges alone say: order, cycles, and which edges run back in time.

Works on names and edges, so that the representation and the executors share one answer.

The rule for feedback
---------------------
A cycle costs one time step, and the step lies at the output of a neuron: an edge that runs back
delivers what its neuron sent in the previous step. Which edges these are follows from how the loop
is reached, never from names or from the order of nodes and edges:

1. Take a loop (a strongly connected part). It *starts* at a neuron that the outside of the loop
   reaches first, directly or through stateless nodes. A loop that nothing outside reaches may
   start at any of its neurons.
2. If several neurons qualify, it starts at one none of whose edges runs back yet, so that no cycle
   pays twice; among equals at the one farthest from any Output; then at the one nearest to an
   Input; then at the one that the fewest edges of other neurons run back to. Distance counts the
   neurons on the shortest path.
3. What the start sends comes around the loop. Where an edge of a neuron would bring it to the
   start again, directly or through stateless nodes, that edge runs back. These edges are cut, and
   the rule is applied to the loops that are left.

Neurons that still qualify equally start together if neither changes what is cut for the other.
Where it does, the loop is symmetric and nothing but a name could decide: the graph is refused, and
asks to be told with ``feedback=[...]``.

So every cycle is cut at least once: exactly once in a simple loop, in loops that share neurons and
in loops within loops. Cycles can be so entangled that some are cut twice and cost two steps.

A node with a delay of its own (``delays``) is the delay of every loop through it: its outgoing
edges carry the past already and are never counted as part of a loop.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import rustworkx as rx

from .errors import GraphError, Problem

Edge = tuple[str, str]


MOST_STEPS = 2_000_000
"""After so many, some seconds, it is given up to decide which edges of a graph run back."""


class Topology:
    """Nodes and edges, indexed both ways.

    Args:
        nodes: all names; their order breaks ties of order, never of meaning.
        edges: (source, target) pairs of known names.
    """

    def __init__(self, nodes: Iterable[str], edges: Iterable[Edge]) -> None:
        self.nodes = list(nodes)
        self.edges = list(edges)
        self._digraph: rx.PyDiGraph[int, None] | None = None
        self._parts: list[list[str]] | None = None
        self._loops: list[list[str]] | None = None
        self.before: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.after: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            self.before[target].append(source)
            self.after[source].append(target)

    def loops(self) -> list[list[str]]:
        """The strongly connected parts that hold a cycle; not to be changed."""
        if self._loops is None and rx.is_directed_acyclic_graph(self._numbered()):
            self._loops = []
        elif self._loops is None:
            parts = self.parts()
            self._loops = [p for p in parts if len(p) > 1 or p[0] in self.after[p[0]]]
        return self._loops

    def off_cycle(self, edges: Iterable[Edge]) -> list[Edge]:
        """Those of ``edges`` that lie on no cycle."""
        part = {name: i for i, loop in enumerate(self.loops()) for name in loop}
        return [(a, b) for a, b in edges if a not in part or part[a] != part.get(b)]

    def parts(self) -> list[list[str]]:
        """All strongly connected parts, each before those it leads to; not to be changed."""
        if self._parts is None:
            self._parts = self._found_parts()
        return self._parts

    def _numbered(self) -> rx.PyDiGraph[int, None]:
        """The nodes by number."""
        if self._digraph is None:
            index = {name: i for i, name in enumerate(self.nodes)}
            ends = [(index[source], index[target]) for source, target in self.edges]
            self._digraph = _digraph(len(self.nodes), ends)
        return self._digraph

    def _found_parts(self) -> list[list[str]]:
        graph = self._numbered()
        if rx.is_directed_acyclic_graph(graph):
            parts = [[i] for i in range(len(self.nodes))]
        else:
            parts = [sorted(part) for part in rx.strongly_connected_components(graph)]
            of = {i: k for k, part in enumerate(parts) for i in part}
            between = [(of[a], of[b]) for a, b in graph.edge_list()]
            # Each once: to look in the graph whether one is there walks all that leave its source.
            graph = _digraph(len(parts), [e for e in dict.fromkeys(between) if e[0] != e[1]])
        order = rx.lexicographical_topological_sort(graph, key=lambda k: f"{parts[k][0]:012d}")
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
        inside = set(loop)
        start = next(name for name in self.nodes if name in inside)
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


def _digraph(size: int, edges: list[tuple[int, int]]) -> rx.PyDiGraph[int, None]:
    graph: rx.PyDiGraph[int, None] = rx.PyDiGraph()
    graph.add_nodes_from(list(range(size)))
    graph.add_edges_from_no_data(edges)
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
        GraphError: a cycle has no neuron, or its start cannot be decided, or not in time.
    """
    stated = set(stated)
    neurons = set(neurons)
    whole = Topology(nodes, edges)
    if not whole.loops():
        return [e for e in edges if e in stated]
    present = [e for e in edges if e not in stated and e[0] not in delays]
    _check_neurons(nodes, present, neurons)
    to_output = _distance(whole.before, outputs, neurons)
    from_input = _distance(whole.after, inputs, neurons)
    ranks = {n: (-to_output.get(n, math.inf), from_input.get(n, math.inf)) for n in neurons}
    cut = set(stated)
    symmetric: list[str] = []
    waiting = _loops(nodes, present, whole, {a for a, b in stated if a != b}, _Effort())
    while waiting:
        loop = waiting.pop()
        starts = loop.starts(neurons, ranks)
        if not _start_together(loop, starts, neurons, ranks):
            symmetric = symmetric or list(starts)
            one = min(starts)  # any: what follows is only an example
            starts = {one: starts[one]}
        running_back = set().union(*starts.values())
        cut |= running_back
        waiting += loop.without(running_back)
    back = [e for e in edges if e in cut]
    if symmetric:
        raise GraphError(
            Problem(
                f"the loop through {' and '.join(map(repr, symmetric))} is symmetric: it could "
                "start at any of them, and each choice delays other edges",
                "a loop whose start can be told from its edges",
                f"Say which edges run back, for example feedback={back}.",
                where="graph",
            )
        )
    return back


def _check_neurons(nodes: Sequence[str], edges: Sequence[Edge], neurons: Collection[str]) -> None:
    stateless = Topology(nodes, [e for e in edges if e[0] not in neurons])
    problems = [
        Problem(
            f"the cycle {' -> '.join(stateless.cycle_in(loop))} has neither a neuron nor a Delay",
            "a cycle that passes through one, which gives it its time step",
            "Put a neuron or a Delay into the cycle.",
            where="graph",
        )
        for loop in stateless.loops()
    ]
    if problems:
        raise GraphError(problems)


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


class _Effort:
    """What deciding takes: loops can be so entangled that it grows with the cube of their size."""

    def __init__(self) -> None:
        self.left = MOST_STEPS

    def spend(self, steps: int) -> None:
        """Take so many steps more.

        Raises:
            GraphError: they are too many.
        """
        self.left -= steps
        if self.left < 0:
            raise GraphError(
                Problem(
                    f"loops so entangled that after {MOST_STEPS:,} steps it is not decided which "
                    "edges run back",
                    "loops of fewer neurons",
                    "Say which edges run back, with feedback=[...].",
                    where="graph",
                )
            )


@dataclass(frozen=True)
class _Loop:
    """A strongly connected part, while its feedback is being decided.

    Attributes:
        names: its nodes.
        edges: those inside it that act in the present step.
        whole: the graph that it is part of.
        late: the neurons of which an edge runs back already.
        effort: what deciding has taken so far, of all loops together.
    """

    names: list[str]
    edges: list[Edge]
    whole: Topology
    late: set[str]
    effort: _Effort

    def starts(
        self, neurons: set[str], ranks: dict[str, tuple[float, float]]
    ) -> dict[str, set[Edge]]:
        """Rules 1 and 2: where the loop may start, and rule 3: which edges then run back."""
        self.effort.spend(len(self.edges))
        topology = Topology(self.names, self.edges)
        leads_to = {
            e: _first_neurons(topology, e[1], neurons) for e in self.edges if e[0] in neurons
        }
        inside = set(self.names)
        doors = (n for n in self.names if any(s not in inside for s in self.whole.before[n]))
        fronts = set().union(*(_first_neurons(topology, door, neurons) for door in doors))
        cuts = {
            name: self._comes_around(
                topology, name, {e for e, to in leads_to.items() if name in to}
            )
            for name in self.names
            if name in (fronts or neurons)
        }

        def rank(name: str) -> tuple[float, ...]:
            others = sum(source != name for source, _ in cuts[name])
            return (name in self.late, *ranks[name], others)

        first = min(map(rank, cuts))
        return {name: cut for name, cut in cuts.items() if rank(name) == first}

    def without(self, cut: set[Edge]) -> list[_Loop]:
        """The loops that are left when edges run back."""
        left = [e for e in self.edges if e not in cut]
        return _loops(self.names, left, self.whole, self.late | {a for a, _ in cut}, self.effort)

    def _comes_around(self, topology: Topology, start: str, back: set[Edge]) -> set[Edge]:
        """Those of the edges ``back`` that what ``start`` sends reaches without passing another."""
        seen, stack = {start}, [start]
        while stack:
            name = stack.pop()
            for target in topology.after[name]:
                if target not in seen and (name, target) not in back:
                    seen.add(target)
                    stack.append(target)
        self.effort.spend(len(seen))
        return {e for e in back if e[0] in seen}


def _loops(
    names: Sequence[str], edges: Sequence[Edge], whole: Topology, late: set[str], effort: _Effort
) -> list[_Loop]:
    effort.spend(len(edges))
    loops = Topology(names, edges).loops()
    part = {name: number for number, loop in enumerate(loops) for name in loop}
    inner: list[list[Edge]] = [[] for _ in loops]
    for edge in edges:
        number = part.get(edge[0])
        if number is not None and number == part.get(edge[1]):
            inner[number].append(edge)
    return [
        _Loop(loop, own, whole, late.intersection(loop), effort)
        for loop, own in zip(loops, inner, strict=True)
    ]


def _start_together(
    loop: _Loop,
    starts: dict[str, set[Edge]],
    neurons: set[str],
    ranks: dict[str, tuple[float, float]],
) -> bool:
    """Whether each start leaves the others to start as they would have, with the same cut."""
    for cut in starts.values():
        others = {name: other - cut for name, other in starts.items() if not other <= cut}
        if others:
            then = [left.starts(neurons, ranks) for left in loop.without(cut)]
            if any(all(t.get(name) != other for t in then) for name, other in others.items()):
                return False
    return True


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
