"""A graph cut into an order of work: single nodes, and loops that step through time together.

Names and edges only, no tensors: the same plan serves one step and a whole sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from t1c.ir.errors import GraphError, Problem
from t1c.ir.step_plan import Source
from t1c.ir.topology import Edge, Topology, feedback_edges


@dataclass(frozen=True)
class Stage:
    """Nodes to be worked together, in this order.

    A single node outside any loop can take all time steps at once; the nodes of a loop take them
    one at a time.

    Attributes:
        names: the nodes.
        loop: whether they make up a loop.
        last_uses: the nodes, these or earlier ones, whose values no later stage takes.
    """

    names: tuple[str, ...]
    loop: bool
    last_uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What an executor follows.

    Attributes:
        stages: in topological order.
        sources: node name -> its inputs, in the order of the edges.
        inputs: the nodes that take the caller's tensors.
        outputs: the nodes whose values are returned.
        remembered: the nodes whose output is needed again in the next step.
        early: the nodes in loops that send before their input of the same step is known (Delays).
        targets: node name -> the nodes that take what it sends.
        looping: the nodes that lie in loops.
        order: all nodes, each after those it needs in the same step.
    """

    stages: tuple[Stage, ...]
    sources: dict[str, tuple[Source, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    remembered: frozenset[str]
    early: frozenset[str]
    targets: dict[str, tuple[str, ...]]
    looping: frozenset[str]
    order: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Note the order, which every step asks for."""
        order = tuple(name for stage in self.stages for name in stage.names)
        object.__setattr__(self, "order", order)


def make_plan(
    names: Sequence[str],
    edges: Sequence[Edge],
    neurons: Collection[str],
    inputs: Iterable[str] = (),
    outputs: Iterable[str] = (),
    returned: Iterable[str] | None = None,
    feedback: Iterable[Edge] | None = None,
    delays: Collection[str] = (),
    several: Collection[str] = (),
) -> Plan:
    """Plan the work of a graph.

    Args:
        names: all nodes, in the order that breaks ties.
        edges: (source, target) pairs, in the order of inputs.
        neurons: the nodes at whose output a cycle may be cut.
        inputs: the nodes that take data; those without incoming edges if empty.
        outputs: the nodes whose values are results; those without outgoing edges if empty.
        returned: the nodes whose values are returned, if not the outputs. Which edges run back
            does not depend on them, unless there are no outputs.
        feedback: the edges that run back in time; decided by the rule in ``ir.topology`` if None.
        delays: the nodes that delay by at least one step by themselves.
        several: the nodes with several outputs; the k-th edge that leaves one takes its k-th.

    Raises:
        GraphError: an edge names an unknown node or occurs twice, there is nothing to feed or to
            return, or a cycle cannot be cut.
    """
    returned = tuple(dict.fromkeys(returned or ()))
    _check_names(names, edges, returned)
    topology = Topology(names, edges)
    entries = tuple(inputs) or tuple(n for n in names if not topology.before[n])
    exits = tuple(outputs) or tuple(n for n in names if not topology.after[n]) or returned
    if not entries or not exits:
        missing = (
            "no node without incoming edges" if not entries else "no node without outgoing edges"
        )
        raise GraphError(
            Problem(missing, "a place where data enters and one where it leaves", where="graph")
        )
    if feedback is None:
        feedback = feedback_edges(names, edges, neurons, delays, entries, exits)
    back = set(feedback)
    problems = [
        Problem("it lies on no cycle", "an edge of a cycle", where=f"feedback edge {a!r} -> {b!r}")
        for a, b in sorted({*topology.off_cycle(back), *(back - set(edges))})
    ]
    if problems:
        raise GraphError(problems)
    loops = {frozenset(loop) for loop in topology.loops()}
    looping = frozenset[str]().union(*loops)
    early = frozenset(delays) & looping
    forward = topology
    if back or early:
        forward = Topology(names, [e for e in edges if e not in back and e[1] not in early])
    rank = {name: i for i, name in enumerate(forward.order())}
    ports: dict[Edge, int] = {}
    taken: Counter[str] = Counter()
    for source, target in edges:
        ports[source, target] = taken[source] if source in several else 0
        taken[source] += 1
    sources = {
        name: tuple(Source(s, ports[s, name], (s, name) in back) for s in topology.before[name])
        for name in names
    }
    parts = [
        (tuple(sorted(part, key=rank.__getitem__)), frozenset(part) in loops)
        for part in topology.parts()
    ]
    return Plan(
        stages=_with_last_uses(parts, sources),
        sources=sources,
        inputs=entries,
        outputs=returned or exits,
        remembered=frozenset(source for source, _ in back),
        early=early,
        targets={name: tuple(topology.after[name]) for name in names},
        looping=looping,
    )


def _with_last_uses(
    parts: Sequence[tuple[tuple[str, ...], bool]], sources: dict[str, tuple[Source, ...]]
) -> tuple[Stage, ...]:
    last: dict[str, int] = {}
    for i, (names, _) in enumerate(parts):
        for name in names:
            last[name] = i
            last |= dict.fromkeys((s.name for s in sources[name] if not s.back), i)
    ends: list[list[str]] = [[] for _ in parts]
    for name, i in last.items():
        ends[i].append(name)
    return tuple(
        Stage(names, loop, tuple(done)) for (names, loop), done in zip(parts, ends, strict=True)
    )


def _check_names(names: Sequence[str], edges: Sequence[Edge], returned: Sequence[str]) -> None:
    known, seen = set(names), set()
    problems = [
        Problem(f"there is no module {n!r}", f"one of {sorted(known)}", field="output_nodes")
        for n in returned
        if n not in known
    ]
    for edge in edges:
        where = f"edge {edge[0]!r} -> {edge[1]!r}"
        problems += [
            Problem(f"there is no module {n!r}", f"one of {sorted(known)}", where=where)
            for n in edge
            if n not in known
        ]
        if edge in seen:
            problems.append(Problem("duplicate edge", "each edge once", where=where))
        seen.add(edge)
    if problems:
        raise GraphError(problems, "modules and edges do not fit")
