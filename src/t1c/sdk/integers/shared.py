"""Which layers share a unit, because what they send is added up, and what that unit must hold."""

from __future__ import annotations

from collections.abc import Iterator

from t1c import ir
from t1c.ir.topology import Topology

from .weights import LAYERS

SAME_UNIT = (
    *(ir.Identity, ir.HybridRegion, ir.Dropout, ir.Skip, ir.Delay, ir.ReLU),
    *(ir.MaxPool1d, ir.MaxPool2d, ir.MaxPool3d, ir.SumPool2d),
)
"""What sends numbers in the unit that reaches it, channel by channel."""


class Shared:
    """Nodes in classes: what those of one send is in one unit, for each channel.

    Args:
        graph: without nested graphs.
        whole: the nodes that send counts, whose unit is 1 whatever happens.
    """

    def __init__(self, graph: ir.Graph, whole: set[str]) -> None:
        self._nodes = graph.nodes
        self._owner = {name: name for name in graph.nodes}
        topology = Topology(graph.nodes, graph.edges)
        self.readers: dict[str, list[str]] = {}
        for name, node in graph.nodes.items():
            if not node.adds_inputs:
                continue
            sources = [s for s in topology.before[name] if s not in whole]
            passes = isinstance(node, SAME_UNIT) and name not in whole
            for a, b in zip(sources, [*sources[1:], name] if passes else sources[1:], strict=False):
                self._join(a, b)
        for name in graph.nodes:
            for source in topology.before[name]:
                if source not in whole:
                    self.readers.setdefault(self._top(source), []).append(name)

    def layers_beside(self, name: str) -> Iterator[str]:
        """The layers in the class of one, itself among them."""
        top = self._top(name)
        for other, node in self._nodes.items():
            if isinstance(node, LAYERS) and self._top(other) == top:
                yield other

    def read_by(self, name: str) -> list[str]:
        """The nodes that something of the class of a layer reaches."""
        return self.readers.get(self._top(name), [])

    def _join(self, a: str, b: str) -> None:
        self._owner[self._top(a)] = self._top(b)

    def _top(self, name: str) -> str:
        while self._owner[name] != name:
            self._owner[name] = self._owner[self._owner[name]]
            name = self._owner[name]
        return name
