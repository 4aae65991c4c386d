"""The graph as far as it is made, node by node."""

from __future__ import annotations

from collections.abc import Collection

from t1c import ir
from t1c.ir.naming import unique
from t1c.ir.topology import Edge

from .values import Signal


class Building:
    """Nodes and edges of the graph to be.

    Args:
        reserved: names that its Inputs and Outputs will have.
    """

    def __init__(self, reserved: Collection[str] = ()) -> None:
        self.nodes: dict[str, ir.Node] = {}
        self.edges: list[Edge] = []
        self.taken = set(reserved)

    def add(self, name: str, node: ir.Node, *inputs: Signal) -> Signal:
        """Put a node behind what leads into it, in that order; what leaves it.

        Args:
            name: what it should be called; a number is added where that is taken.
            node: the node.
            inputs: one that is given twice comes through an Identity the second time.

        Raises:
            ShapeError: the shapes do not fit.
        """
        sent = node.shapes([signal.shape for signal in inputs])[1]
        name = self.unused(name)
        self.nodes[name] = node
        self.taken.add(name)
        seen: set[str] = set()
        for signal in inputs:
            source = signal.node
            if source in seen:
                source = self.add(f"{name}.again", ir.Identity(), signal).node
            seen.add(source)
            self.edges.append((source, name))
        return Signal(name, tuple(int(n) for n in sent[0]) if sent else ())

    def replace(self, signal: Signal, node: ir.Node) -> Signal:
        """Another node in the place of the one that a signal leaves."""
        self.nodes[signal.node] = node
        return signal

    def unused(self, name: str) -> str:
        """The name as a graph may have it, with a number behind it where it is taken."""
        return unique(tidy(name), self.taken)


def tidy(name: str) -> str:
    """An ONNX name as the name of a node: ``/conv1/Conv`` becomes ``conv1.Conv``."""
    parts = [part for part in name.replace("\0", "").split("/") if part.strip(".")]
    return ".".join(parts) or "node"
