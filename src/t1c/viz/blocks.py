"""Parts of a graph that can be folded, found by their form alone.

Along the way from input to output lie nodes that everything passes; between two of them lies
either an edge or a part with branches: a residual connection, attention, pooling at several
scales. Loops count as one node. What is left is a sequence, and equal parts of it that follow each
other are a repeat. The same is then done within each branch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import rustworkx as rx

from t1c.ir.topology import Edge, Topology

from .repeats import Run, repeats

DEEPEST = 6
"""Branches within branches are followed as deep as this."""
FEWEST = 3
"""A part of fewer nodes is not worth folding."""
FEWEST_REPEATED = 8
"""Nor is a repeat of fewer nodes."""
MOST, FEW = 0.9, 20
"""Nor, above ``FEW`` nodes, is a part of which another part is nearly all."""

MOSTLY = 2 / 3
"""A block is called what so large a share of its nodes' names begin with; more than half."""


@dataclass(eq=False)
class Block:
    """A part of a graph.

    Attributes:
        kind: 'loop', 'residual', 'branches', 'repeat' (its parts are equal) or 'part' (of one).
        parts: names of nodes, and blocks.
        times: of a repeat: how many equal parts it has.
    """

    kind: str
    parts: list[str | Block]
    times: int = 1

    def leaves(self) -> Iterator[str]:
        """The names of all nodes in it."""
        for part in self.parts:
            if isinstance(part, Block):
                yield from part.leaves()
            else:
                yield part

    def prefix(self) -> str:
        """What most of its nodes' names begin with, up to a dot."""
        return _common_name(list(self.leaves()))[0]

    def title(self, types: Mapping[str, str]) -> str:
        """The prefix; where the names have none in common, the types of its nodes.

        Args:
            types: name -> primitive.
        """
        title = self.prefix() or self.types(types)
        return f"{title} ×{self.times}" if self.times > 1 else title

    def types(self, types: Mapping[str, str]) -> str:
        """The first few types of its nodes; of a repeat, of one of its equal parts.

        Args:
            types: name -> primitive.
        """
        names = list(self.leaves())
        return _brief([types[name] for name in names[: len(names) // self.times]])


def _common_name(names: Sequence[str]) -> tuple[str, float]:
    """The longest beginning, up to a dot, that most names share, and how many share it.

    Most, and not all: an addition between ``layer1.0.conv1`` and ``layer1.0.bn2`` may have got its
    name from elsewhere.
    """
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")[:-1]
        counts.update(".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    # Of those that more than half share, each begins with the shorter ones.
    shared = [prefix for prefix, count in counts.items() if count >= MOSTLY * len(names)]
    best = max(shared, key=len, default="")
    return best, counts[best] / len(names)


def _brief(types: Collection[str]) -> str:
    shown = [kind for kind in types if kind not in ("Input", "Output")][:4]
    return " → ".join(shown[:3]) + (" …" if len(types) > 3 else "")


def find_blocks(
    names: Sequence[str],
    edges: Sequence[Edge],
    back: Collection[Edge],
    signatures: Mapping[str, str],
) -> list[Block]:
    """What can be folded in a graph.

    Args:
        names: of its nodes.
        edges: all edges.
        back: those that run back in time.
        signatures: name -> text that is equal for nodes that count as equal.

    Returns:
        Blocks that share no node.
    """
    finder = _Finder(edges, set(back), signatures)
    parts = _worthwhile(finder.parts(list(names), edges, DEEPEST))
    blocks = [part for part in parts if isinstance(part, Block)]
    if len(parts) == len(blocks) == 1:  # all of it
        return [part for part in blocks[0].parts if isinstance(part, Block)]
    return blocks


class _Finder:
    def __init__(
        self, edges: Sequence[Edge], back: set[Edge], signatures: Mapping[str, str]
    ) -> None:
        self.back = back
        self.signatures = signatures
        self.whole = Topology(signatures, edges)

    def parts(
        self,
        names: Sequence[str],
        edges: Sequence[Edge],
        deeper: int,
        start: Sequence[str] = (),
    ) -> list[str | Block]:
        """The names as a sequence of nodes and blocks, repeats folded.

        ``start`` holds the nodes outside that lead to the first of them.
        """
        here = Topology(names, edges)
        units = here.parts()
        if len(units) == 1 and len(units[0]) > 1:
            return list(names)  # a loop that no neuron breaks within this graph
        at = {name: i for i, unit in enumerate(units) for name in unit}
        dag: rx.PyDiGraph[int, None] = rx.PyDiGraph(multigraph=False)
        dag.add_nodes_from(list(range(len(units))))
        for a, b in edges:
            if at[a] != at[b]:
                dag.add_edge(at[a], at[b], None)
        passed, between = _passed_by_all(dag)
        if not passed and len(rx.weakly_connected_components(dag)) == 1:
            return list(names)  # nothing that everything passes
        # What everything passes and what has branches, with marks; what repeats is looked for
        # among these. None marks what stands beside others, in no sequence with them.
        sequence: list[tuple[str | Block, str | None]] = []
        for place in range(len(passed) + 1):
            branches = self._branches(dag, between.get(place, []), units, here, deeper, start)
            beside = [part for branch in branches for part in branch]
            if place == len(passed):
                sequence += [(part, None) for part in beside]
                break
            meets = units[passed[place]]
            part = self._unit(meets, here, deeper)
            if place == 0:
                sequence += [(one, None) for one in beside]
            elif beside:
                direct = any(a in start for b in meets for a in here.before[b])
                part = Block("residual" if direct else "branches", [*beside, part])
            leaving = () if place == len(passed) - 1 else self._leaving(part, at)
            sequence.append((part, self._mark(part, start, leaving)))
            start = meets
        return _folded(sequence)

    def _unit(self, unit: list[str], here: Topology, deeper: int) -> str | Block:
        """One node, or a loop."""
        if len(unit) == 1:
            return unit[0]
        forward = [e for e in _edges_within(here, unit) if e not in self.back]
        return Block("loop", self.parts(unit, forward, deeper - 1) if deeper else list(unit))

    def _branches(
        self,
        dag: rx.PyDiGraph[int, None],
        members: list[int],
        units: list[list[str]],
        here: Topology,
        deeper: int,
        start: Sequence[str],
    ) -> list[list[str | Block]]:
        """What lies between two nodes that all passes: its branches, each as a sequence."""
        if not members:
            return []
        if len(members) == 1:
            return [[self._unit(units[members[0]], here, deeper)]]
        part = dag.subgraph(members, preserve_attrs=False)
        branches: list[list[str | Block]] = []
        for component in rx.weakly_connected_components(part):
            names = [name for i in sorted(part[k] for k in component) for name in units[i]]
            inner = _edges_within(here, names)
            branches.append(self.parts(names, inner, deeper - 1, start) if deeper else list(names))
        return sorted(branches, key=lambda branch: [self._mark(part, None) for part in branch])

    def _leaving(self, part: str | Block, inside: Collection[str]) -> list[Edge]:
        """The edges of a part that leave the sequence that it stands in."""
        leaves = [part] if isinstance(part, str) else part.leaves()
        return [(a, b) for a in leaves for b in self.whole.after[a] if b not in inside]

    def _mark(
        self, part: str | Block, start: Sequence[str] | None, leaving: Sequence[Edge] = ()
    ) -> str:
        """Equal for parts of equal nodes that are wired equally.

        Args:
            part: what to mark.
            start: the nodes that it starts from, which need not be the same ones; other nodes
                outside that lead to it must be. None leaves all of them out.
            leaving: edges from it that must lead to the same nodes.
        """
        leaves = [part] if isinstance(part, str) else list(part.leaves())
        place: dict[str, int] = {name: -1 - i for i, name in enumerate(start or ())}
        place |= {name: i for i, name in enumerate(leaves)}
        wires: list[list[object]] = [
            [place.get(a, a), i, (a, b) in self.back]
            for i, b in enumerate(leaves)
            for a in self.whole.before[b]
            if a in place or start is not None
        ]
        wires += [[place[a], b] for a, b in leaving]
        if isinstance(part, str) and all(wire == [-1, 0, False] for wire in wires):
            return self.signatures[part]
        kind = "" if isinstance(part, str) else part.kind
        return json.dumps([kind, [self.signatures[name] for name in leaves], wires])


def _edges_within(topology: Topology, names: Sequence[str]) -> list[Edge]:
    inside = set(names)
    return [(a, b) for b in names for a in topology.before[b] if a in inside]


def _passed_by_all(dag: rx.PyDiGraph[int, None]) -> tuple[list[int], dict[int, list[int]]]:
    """The nodes on every way through, in order, and those between them.

    The second holds, under i, the nodes that lie between the i-th and the one before it.
    """
    inner = list(dag.node_indices())
    graph = dag.copy()
    source, sink = graph.add_node(-1), graph.add_node(-2)
    for i in inner:
        if not dag.in_degree(i):
            graph.add_edge(source, i, None)
        if not dag.out_degree(i):
            graph.add_edge(i, sink, None)
    above = rx.immediate_dominators(graph, source)
    chain = [sink]
    while chain[-1] != source:
        chain.append(above[chain[-1]])
    passed = chain[-2:0:-1]
    place = {source: 0} | {node: i + 1 for i, node in enumerate(passed)}
    between: dict[int, list[int]] = {}
    for i in rx.topological_sort(graph):
        if i not in place:
            place[i] = place[above[i]]
            if i != sink:
                between.setdefault(place[i], []).append(i)
    return passed, between


def _folded(sequence: list[tuple[str | Block, str | None]]) -> list[str | Block]:
    """The sequence with its repeats as blocks."""
    found: list[str | Block] = []
    parts = [part for part, _ in sequence]
    done = 0
    marks = [i if mark is None else mark for i, (_, mark) in enumerate(sequence)]
    for run in repeats(marks):
        first = _best_start(parts, run)
        equal = _cut(parts, first, run)
        inside = [part[0] if len(part) == 1 else Block("part", part) for part in equal]
        found += [*parts[done:first], Block("repeat", inside, run.times)]
        done = first + run.period * run.times
    return found + parts[done:]


def _cut(parts: list[str | Block], first: int, run: Run) -> list[list[str | Block]]:
    starts = range(first, first + run.period * run.times, run.period)
    return [parts[start : start + run.period] for start in starts]


def _best_start(parts: list[str | Block], run: Run) -> int:
    """Where the names say that the parts begin, if the run can begin there."""

    def named(first: int) -> float:
        names = (list(Block("part", part).leaves()) for part in _cut(parts, first, run))
        return sum(share for _, share in map(_common_name, names))

    return max(range(run.start, run.start + run.slack + 1), key=named)


def _worthwhile(parts: Sequence[str | Block]) -> list[str | Block]:
    """The parts with blocks that are not worth folding replaced by what they hold."""
    kept: list[str | Block] = []
    for part in parts:
        if isinstance(part, str):
            kept.append(part)
            continue
        size = _size(part)
        if part.kind == "repeat" and size < FEWEST_REPEATED:
            for one in part.parts:
                loose = isinstance(one, Block) and one.kind == "part"
                kept += _worthwhile(one.parts if isinstance(one, Block) and loose else [one])
        elif size < FEWEST or (part.kind not in ("repeat", "part") and _is_skin(part, size)):
            kept += _worthwhile(part.parts)
        else:
            kept.append(Block(part.kind, _worthwhile(part.parts), part.times))
    return kept


def _is_skin(block: Block, size: int) -> bool:
    """Whether one part of a block is nearly all of it, as in an onion."""
    return size > FEW and max(map(_size, block.parts)) > MOST * size


def _size(part: str | Block) -> int:
    return 1 if isinstance(part, str) else sum(1 for _ in part.leaves())
