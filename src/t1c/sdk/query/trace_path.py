"""The ways from one node to another."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.topology import Edge, Topology
from t1c.nir import GraphSource, read_graph

from ..report import Part, Report
from .named import find_node


@dataclasses.dataclass(frozen=True)
class NodePath:
    """One way along the edges, which passes no node twice.

    Attributes:
        nodes: the names, from start to end; a node ``n`` of a nested graph ``g`` is ``g/n``.
        types: their primitives.
        late: the places at which the way goes back in time: ``nodes[i] -> nodes[i + 1]`` delivers
            what was sent in the previous step, for each ``i`` in it.
    """

    nodes: tuple[str, ...]
    types: tuple[str, ...]
    late: tuple[int, ...]

    @property
    def steps_late(self) -> int:
        """How many steps pass on the way, Delays not counted."""
        return len(self.late)

    @property
    def text(self) -> str:
        """The way in one line; ``~>`` runs back in time."""
        arrows = [" ~> " if i in self.late else " -> " for i in range(len(self.nodes) - 1)]
        return "".join(n + arrow for n, arrow in zip(self.nodes, [*arrows, ""], strict=True))


@dataclasses.dataclass(frozen=True, repr=False)
class Paths(Report):
    """The ways from one node to another; false if there is none.

    Attributes:
        start, end: their names.
        paths: shortest first.
        complete: these are all; not so where the limit was reached, or only the shortest were
            asked for and there are longer ones.
        total: how many there are in all; None where a loop lies on the way, so that they cannot be
            counted without walking each of them.
    """

    start: str
    end: str
    paths: tuple[NodePath, ...]
    complete: bool
    total: int | None = None

    def __bool__(self) -> bool:
        return bool(self.paths)

    def parts(self) -> Sequence[Part]:
        """A line for each."""
        if not self.paths:
            return [f"no path leads from {self.start} to {self.end}"]
        count = f"{len(self.paths):,} path{'s' * (len(self.paths) > 1)}:"
        if not self.complete:
            of = "more" if self.total is None else f"{self.total:,}"
            count = f"{len(self.paths):,} of {of} paths, the shortest first (--limit N, limit=N):"
        lines = [count, *(f"  {path.text}" for path in self.paths)]
        if any(path.late for path in self.paths):
            lines.append("~> delivers what was sent in the previous step")
        return ["\n".join(lines)]


def trace_path(
    source: GraphSource,
    start: str,
    end: str,
    which: Literal["all", "shortest"] = "all",
    *,
    limit: int = 100,
    dt: float | None = None,
) -> Paths:
    """The ways along the edges from one node to another, through nested graphs too.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        start: where to begin; the name of a nested graph stands for what enters it.
        end: where to arrive; the name of a nested graph stands for what leaves it. The same as
            ``start`` asks for the loops through a node.
        which: 'all', or those with the fewest nodes.
        limit: how many ways at most; a graph can have more than anybody could read.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        InputError: there is no such node.

    Example:
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "a": ir.Identity(), "sum": ir.Skip(),
        ...      "out": ir.Output((2,))},
        ...     [("in", "a"), ("a", "sum"), ("in", "sum"), ("sum", "out")],
        ... )
        >>> print(trace_path(graph, "in", "out"))
        2 paths:
          in -> sum -> out
          in -> a -> sum -> out
    """
    if limit < 1:
        raise InputError(Problem(f"limit={limit}", "at least 1"))
    if which not in ("all", "shortest"):
        raise InputError(Problem(f"which={which!r}", "'all' or 'shortest'"))
    graph = read_graph(source, dt)
    starts, ends = _ends(graph, start, "inputs"), _ends(graph, end, "outputs")
    flat = graph.flat()
    topology, back = Topology(flat.nodes, flat.edges), set(flat.feedback_edges())
    found: list[tuple[str, ...]] = []
    complete = True
    for names in _ways(topology, starts, set(ends)):
        if which == "shortest" and found and len(names) > len(found[0]):
            complete = False
            break
        if len(found) == limit:
            complete = False
            break
        found.append(names)
    paths = tuple(_path(names, flat.nodes, back) for names in found)
    total = len(found) if complete else _count(topology, starts, ends)
    return Paths(start, end, paths, complete, total)


def _ends(graph: ir.Graph, name: str, border: str) -> list[str]:
    node = find_node(graph, name)
    if not isinstance(node, ir.Graph):
        return [name]
    return [place for n in getattr(node, border)() for place in _ends(graph, f"{name}/{n}", border)]


def _ways(topology: Topology, starts: Sequence[str], ends: set[str]) -> Iterator[tuple[str, ...]]:
    """All ways, shortest first.

    Of the ways begun, the one that can be shortest in the end is taken on, and among these the
    longest, so that the first ways are found without beginning all there are.
    """
    left = _distances(topology, ends)
    loops = set(starts) & ends
    order = itertools.count()
    begun: list[tuple[int, int, int, tuple[str, ...]]] = [
        (left[s], -1, next(order), (s,)) for s in starts if s in left
    ]
    heapq.heapify(begun)
    while begun:
        _, _, _, way = heapq.heappop(begun)
        if way[-1] in ends and (len(way) > 1 or way[0] not in loops):
            yield way
            continue
        for target in topology.after[way[-1]]:
            closes = target == way[0] and target in loops
            if target in left and (target not in way or closes):
                longer = (*way, target)
                entry = (len(longer) + left[target], -len(longer), next(order), longer)
                heapq.heappush(begun, entry)


def _count(topology: Topology, starts: Sequence[str], ends: Sequence[str]) -> int | None:
    """How many ways there are, without walking them; None where one could go in circles."""
    left = _distances(topology, set(ends))
    between = topology.reachable(starts) & set(left)
    part = Topology(between, [(a, b) for a in between for b in topology.after[a] if b in between])
    if list(part.loops()):
        return None
    ways = dict.fromkeys(between, 0)
    for (name,) in reversed(list(part.parts())):
        ways[name] = 1 if name in ends else sum(ways[after] for after in part.after[name])
    return sum(ways[start] for start in starts if start in between)


def _distances(topology: Topology, ends: set[str]) -> dict[str, int]:
    """How many edges it takes from each node that leads to an end."""
    found = dict.fromkeys(ends, 0)
    queue = deque(ends)
    while queue:
        name = queue.popleft()
        for source in topology.before[name]:
            if source not in found:
                found[source] = found[name] + 1
                queue.append(source)
    return found


def _path(names: tuple[str, ...], nodes: dict[str, ir.Node], back: set[Edge]) -> NodePath:
    late = [i for i, edge in enumerate(itertools.pairwise(names)) if edge in back]
    return NodePath(names, tuple(nodes[name].primitive for name in names), tuple(late))
