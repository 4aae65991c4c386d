"""A graph while it is made over for a reader."""

from __future__ import annotations

from dataclasses import dataclass, field

from t1c import ir
from t1c.ir.errors import Problem
from t1c.ir.shapes import Shape
from t1c.ir.topology import Edge

from ..dialects import Reader
from ..losses import Change
from .wires import Wires


@dataclass
class Draft:
    """Plain nodes and edges, what stands against them, and what was changed.

    Attributes:
        reader: for whom.
        title: how the reader is called.
        nodes: by name, none of them a graph.
        wires: the edges.
        shapes: of what arrives at each node; () where it has no one input.
        back: those of the edges that run back in time.
        problems: why the reader would not give the same spikes.
        changes: what is written otherwise than the graph has it.
    """

    reader: Reader
    title: str
    nodes: dict[str, ir.Node]
    wires: Wires
    shapes: dict[str, Shape]
    back: set[Edge]
    problems: list[Problem] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def where(self, name: str) -> str:
        """The place of a node, as errors name it."""
        return f"node {name!r} ({self.nodes[name].primitive})"

    def refuse(self, name: str, *problems: Problem) -> None:
        """Note what is wrong with a node."""
        self.problems += [problem.at(self.where(name)) for problem in problems]

    def change(self, name: str, what: str) -> None:
        """Note what is written of a node."""
        self.changes.append(Change(self.where(name), what))

    @property
    def edges(self) -> list[Edge]:
        """All of them, in order."""
        return self.wires.edges()

    def sources(self, name: str) -> list[str]:
        """What leads to a node, in order."""
        return self.wires.sources(name)

    def targets(self, name: str) -> list[str]:
        """Where a node leads to, in order."""
        return self.wires.targets(name)

    def drop(self, name: str) -> None:
        """Take a node out; what led to it leads to where it led, in the same step."""
        into, out = self.sources(name), self.targets(name)
        late = {(a, b) for a in into for b in out if {(a, name), (name, b)} & self.back}
        self.wires.drop(name)
        self.back -= {(a, name) for a in into} | {(name, b) for b in out}
        self.back |= late
        del self.nodes[name]

    def each(self, *kinds: type[ir.Node]) -> list[tuple[str, ir.Node]]:
        """The nodes of these kinds, which may be changed meanwhile."""
        return [(name, node) for name, node in self.nodes.items() if isinstance(node, kinds)]
