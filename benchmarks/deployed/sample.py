"""A graph with inputs, and what the reference gives for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir
from t1c.deploy.c import Numbers

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """What every target is given, and what it is compared with.

    Attributes:
        name: of the network.
        graph: what runs.
        xs: by Input name, sequences (T, B, *shape) of float32.
        expected: by Output name, the reference's outputs of all steps (T, B, *shape), in float32.
        exact: whether sums are exact in any order, so that no bit may differ.
        numbers: of its weights in C.
    """

    name: str
    graph: ir.Graph
    xs: Arrays
    expected: Arrays
    exact: bool
    numbers: Numbers = "float32"

    @classmethod
    def of(
        cls, name: str, graph: ir.Graph, xs: Arrays, exact: bool, numbers: Numbers = "float32"
    ) -> Sample:
        """Run the reference in float32, step by step: what is held is given at every step."""
        xs = {n: np.array(x, np.float32) for n, x in xs.items()}
        graph = _stepped(graph)
        with np.errstate(all="ignore"):
            found, _ = ir.Reference(graph, np.float32).run(xs, collect="stack")
        return cls(name, graph, xs, named(graph, found), exact, numbers)

    @property
    def steps(self) -> int:
        """How many time steps there are."""
        return len(next(iter(self.xs.values())))

    @property
    def batch(self) -> int:
        """How many samples there are."""
        return int(next(iter(self.xs.values())).shape[1])


def named(graph: ir.Graph, found: Any) -> Arrays:
    """Outputs by name, where one comes alone."""
    return found if isinstance(found, dict) else {next(iter(graph.outputs())): found}


def _stepped(graph: ir.Graph) -> ir.Graph:
    """The same graph, given and asked something at every step."""
    nodes = dict(graph.nodes)
    nodes |= {name: node.replace(hold=None) for name, node in graph.inputs().items()}
    nodes |= {name: node.replace(final=False) for name, node in graph.outputs().items()}
    return graph.replace(nodes=nodes)
