"""How one step of a graph is worked: which node after which, and what each of them takes.

What follows a graph one step at a time, the reference interpreter and the writers of C and ONNX,
follows this plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from .graph import Graph
from .node import Node
from .shapes import Shape, as_shape
from .topology import Topology
from .unknown import refuse_unknown


@dataclass(frozen=True)
class Source:
    """Where a node takes an input from.

    Attributes:
        name: the node that sends it.
        port: which of its outputs, where it has several.
        back: whether it is what was sent in the step before (zeros at first).
    """

    name: str
    port: int
    back: bool


class StepPlan:
    """The nodes of a graph, nested ones in the place of their graphs, in the order of a step.

    A step visits ``order``: each node but the Inputs takes what arrives (``sources``, in the order
    of the edges), and its state. A node in ``early`` (a Delay in a loop) only speaks there, from
    its state, and listens when ``order`` is through. At the end, what the nodes in ``fed_back``
    sent is kept for the next step.

    Args:
        graph: checked when it was made.

    Attributes:
        nodes: name -> node, none of them a graph; a node ``n`` of a nested graph ``g`` is ``g/n``.
        sources: name -> its inputs, in the order of the edges.
        order: all names, each after those that feed it in the same step.
        early: the nodes that emit before their input of the same step is known.
        fed_back: the nodes whose output runs back in time, each once.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"input": ir.Input((2,)),
        ...      "fc": ir.Affine(np.eye(2), np.ones(2)),
        ...      "output": ir.Output((2,))},
        ...     [("input", "fc"), ("fc", "output")],
        ... )
        >>> plan = StepPlan(graph)
        >>> plan.order, plan.sources["fc"]
        (['input', 'fc', 'output'], (Source(name='input', port=0, back=False),))
    """

    def __init__(self, graph: Graph) -> None:
        flat = graph.flat()
        refuse_unknown(flat.nodes.items())
        ports, back = flat.ports(), flat.feedback_edges()
        feedback = set(back)
        topology = Topology(flat.nodes, flat.edges)
        # A Delay inside a loop speaks before it listens, so that the loop takes no other step.
        looped = {name for loop in topology.loops() for name in loop}
        self.nodes: dict[str, Node] = flat.nodes
        self.early = [n for n in flat.nodes if n in looped and flat.nodes[n].emits_early]
        self.fed_back = list(dict.fromkeys(source for source, _ in back))
        self.sources = {
            name: tuple(
                Source(source, ports[source, name], (source, name) in feedback)
                for source in topology.before[name]
            )
            for name in flat.nodes
        }
        early = set(self.early)
        forward = [e for e in flat.edges if e not in feedback and e[1] not in early]
        self.order = Topology(flat.nodes, forward).order()

    def arriving_shape(self, name: str) -> Shape:
        """The shape of what a node works on: its merged inputs, without time and batch."""
        return as_shape((self.nodes[name].input_type or {}).get("input")) or ()

    def sent_shapes(self, name: str) -> tuple[Shape, ...]:
        """The shape of each of a node's outputs, without time and batch."""
        return self.nodes[name].port_shapes(self.arriving_shape(name))
