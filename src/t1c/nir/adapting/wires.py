"""Edges in order, of which each node's own are at hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from t1c.ir.topology import Edge


class Wires:
    """Edges that nodes are taken out of, without a look at those of other nodes.

    Args:
        edges: in order; one may be there several times.

    Example:
        >>> wires = Wires([("a", "b"), ("b", "c"), ("a", "d")])
        >>> wires.drop("b")
        >>> wires.edges()
        [('a', 'c'), ('a', 'd')]
    """

    def __init__(self, edges: Iterable[Edge]) -> None:
        # What comes into the place of an edge takes its place in the order.
        self._places: list[list[Edge]] = [[edge] for edge in edges]
        self._of: dict[str, set[int]] = defaultdict(set)
        for number, (edge,) in enumerate(self._places):
            self._note(number, edge)

    def edges(self) -> list[Edge]:
        """All of them, in order."""
        return [edge for place in self._places for edge in place]

    def sources(self, name: str) -> list[str]:
        """What leads to a node, in order."""
        return [a for a, b in self._around(name) if b == name]

    def targets(self, name: str) -> list[str]:
        """Where a node leads to, in order."""
        return [b for a, b in self._around(name) if a == name]

    def drop(self, name: str) -> None:
        """Take a node out; what led to it leads to where it led."""
        out = self.targets(name)
        for number in self._of.pop(name, ()):
            place: list[Edge] = []
            for edge in self._places[number]:
                if edge[1] == name:
                    place += [(edge[0], target) for target in out]
                elif edge[0] != name:
                    place.append(edge)
            self._places[number] = place
            for edge in place:
                self._note(number, edge)

    def _around(self, name: str) -> Iterable[Edge]:
        places = (self._places[number] for number in sorted(self._of.get(name, ())))
        return (edge for place in places for edge in place)

    def _note(self, number: int, edge: Edge) -> None:
        for name in edge:
            self._of[name].add(number)
