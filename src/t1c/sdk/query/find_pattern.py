"""Chains of primitives: where a graph holds ``Conv2d->LIF->MaxPool2d``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.guess import did_you_mean
from t1c.ir.registry import list_primitives
from t1c.ir.topology import Topology
from t1c.nir import GraphSource, read_graph

from ..report import Part, Report, Table


@dataclasses.dataclass(frozen=True, repr=False)
class Matches(Report):
    """Where a pattern was found; false if nowhere.

    Attributes:
        pattern: what was looked for.
        chains: the names of the nodes of each match, in order; a node ``n`` of a nested graph ``g``
            is ``g/n``.
        types: their primitives.
    """

    pattern: str
    chains: tuple[tuple[str, ...], ...]
    types: tuple[tuple[str, ...], ...]

    def __bool__(self) -> bool:
        return bool(self.chains)

    def __len__(self) -> int:
        return len(self.chains)

    def parts(self) -> Sequence[Part]:
        """A row for each match."""
        if not self.chains:
            return [f"{self.pattern}: not found"]
        rows = tuple(
            (" -> ".join(chain), " -> ".join(types))
            for chain, types in zip(self.chains, self.types, strict=True)
        )
        return [Table(("nodes", "types"), rows, f"{self.pattern}: {len(rows)} found")]


def find_pattern(source: GraphSource, pattern: str, *, dt: float | None = None) -> Matches:
    """The chains of nodes whose primitives are those of a pattern.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file. Nested graphs are looked into;
            a chain may pass their borders, which count for nothing.
        pattern: names of primitives with ``->`` between them. ``*`` stands for any one node,
            ``LIF|IF`` for either, ``Conv*`` for every name that begins so.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        InputError: the pattern is empty, or a name is that of no primitive.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "fc": ir.Linear(np.eye(2)), "if": ir.IF(np.ones(1)),
        ...      "out": ir.Output((2,))},
        ...     [("in", "fc"), ("fc", "if"), ("if", "out")],
        ... )
        >>> find_pattern(graph, "Affine|Linear -> *IF -> *").chains
        (('fc', 'if', 'out'),)
    """
    wanted = _parsed(pattern)
    graph = read_graph(source, dt)
    flat = graph.flat()
    # The Inputs and Outputs of nested graphs, which have become Identities.
    borders = {name for name in flat.nodes if "/" in name and _is_border(graph, name)}
    topology = Topology(flat.nodes, flat.edges)
    chains = [
        chain
        for name in flat.nodes
        if name not in borders
        for chain in _chains(topology, flat.nodes, borders, name, wanted)
    ]
    types = tuple(tuple(flat.nodes[name].primitive for name in chain) for chain in chains)
    return Matches(pattern, tuple(chains), types)


Step = tuple[str, ...]
"""What a node of a chain may be: patterns for the names of primitives."""


def _parsed(pattern: str) -> list[Step]:
    steps = [tuple(word.strip() for word in part.split("|")) for part in pattern.split("->")]
    known = list_primitives()
    for word in (word for step in steps for word in step):
        if not any(fnmatchcase(name, word) for name in known):
            found = f"{word!r} in the pattern {pattern!r}" if word else f"the pattern {pattern!r}"
            raise InputError(
                Problem(
                    found,
                    "primitives with '->' between them, such as 'Conv2d->LIF|IF->*'",
                    did_you_mean(word, known, "ir.list_primitives() names them all.", written=str),
                )
            )
    return steps


def _is_border(graph: ir.Graph, name: str) -> bool:
    *way, last = name.split("/")
    home = graph
    for step in way:
        inner = home.nodes[step]
        assert isinstance(inner, ir.Graph)
        home = inner
    return isinstance(home.nodes[last], ir.Input | ir.Output)


def _chains(
    topology: Topology,
    nodes: dict[str, ir.Node],
    borders: set[str],
    name: str,
    wanted: Sequence[Step],
) -> Iterator[tuple[str, ...]]:
    """The chains that begin at ``name`` and match."""
    if not any(fnmatchcase(nodes[name].primitive, word) for word in wanted[0]):
        return
    if len(wanted) == 1:
        yield (name,)
        return
    for target in _next(topology, borders, name):
        for rest in _chains(topology, nodes, borders, target, wanted[1:]):
            yield name, *rest


def _next(topology: Topology, borders: set[str], name: str) -> list[str]:
    """The nodes that follow, through the borders of nested graphs."""
    found: dict[str, None] = {}
    for target in topology.after[name]:
        found |= dict.fromkeys(_next(topology, borders, target) if target in borders else [target])
    return list(found)
