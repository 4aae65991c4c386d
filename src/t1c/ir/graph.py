"""Graph: named nodes, ordered edges, and the shapes that flow along them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import GraphError, GraphWarning, Problem, ShapeError
from .fields import show
from .flat import Flat, inline, output_ports
from .graph_checks import (
    cycle_problems,
    edge_problems,
    form_problems,
    name_problems,
    node_problems,
    note_problems,
    value_problems,
)
from .node import Node
from .primitives.border import Input, Output
from .registry import register_node
from .shape_flow import infer_shapes
from .shapes import Shape, as_shape
from .table import as_html, as_text
from .topology import Edge, Topology
from .values import same_value

Nodes = dict[str, Node]
Edges = list[Edge]


@register_node
class Graph(Node):
    """A spiking network: nodes by name, and edges between them.

    The order of edges into a node is the order of its inputs. Several edges into a Skip merge by
    its skip_type; several edges into any other node are added. Shapes exclude time and batch and
    are inferred from the Inputs along the edges; the graph keeps its own shallow copies of the
    nodes, which carry them.

    Args:
        nodes: name -> node.
        edges: (source, target) pairs.
        metadata: free notes.
        allow_cycles: the graph may hold cycles. A cycle costs one time step; which of its edges
            run back in time is decided by the rule in ``t1c.ir.topology``.
        feedback: edges that run back because you say so, where the rule should not decide.
        allow_nonfinite: accept NaN and infinite parameters.

    Raises:
        GraphError: listing everything that is wrong with the graph.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     nodes={
        ...         "input": ir.Input(shape=(4,)),
        ...         "fc": ir.Affine(weight=np.ones((3, 4)), bias=np.zeros(3)),
        ...         "lif": ir.LIF(tau=np.array([10.0]), r=np.array([10.0]),
        ...                       v_leak=np.array([0.0]), v_threshold=np.array([1.0])),
        ...         "output": ir.Output(shape=(3,)),
        ...     },
        ...     edges=[("input", "fc"), ("fc", "lif"), ("lif", "output")],
        ... )
        >>> graph.nodes["lif"].input_type["input"]
        array([3])
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        edges: Iterable[Edge],
        metadata: Mapping[str, Any] | None = None,
        allow_cycles: bool = False,
        *,
        feedback: Iterable[Edge] = (),
        allow_nonfinite: bool = False,
    ) -> None:
        try:
            self.nodes: Nodes = dict(nodes)
            self.edges: Edges = list(edges)
            self.feedback: Edges = list(feedback)
        except (TypeError, ValueError) as cause:
            raise GraphError(
                Problem(str(cause), "a dict of nodes by name and a list of edges")
            ) from None
        self.metadata = metadata  # type: ignore[assignment]  # settled by the check
        self.allow_cycles = bool(allow_cycles)
        self.allow_nonfinite = bool(allow_nonfinite)
        self.declared_input = self.declared_output = {}
        self.check()
        self._warn_of_dead_ends()

    # Checks --------------------------------------------------------------------------------

    def check(self) -> None:
        """Check everything anew, and infer all shapes.

        Raises:
            GraphError: listing all problems.
        """
        pairs: list[Any] = [*self.edges, *self.feedback]
        problems = list(form_problems(self.nodes, pairs))
        if problems:
            raise GraphError(problems, "the graph is not valid")
        self.edges, self.feedback = pairs[: len(self.edges)], pairs[len(self.edges) :]
        problems = [
            *edge_problems(self.nodes, self.edges, self.feedback, self.allow_cycles),
            *node_problems(self.nodes, self.edges),
        ]
        if not problems:
            # Only now do cycles and shapes mean anything.
            topology, ports = self.topology(), self.ports()
            problems = list(
                cycle_problems(topology, self.feedback, self.allow_cycles, self.feedback_edges)
            )
            typed, unfit = infer_shapes(self.nodes, topology, ports)
            self.nodes.update(typed)
            problems += unfit
        problems = [
            *name_problems(self.nodes),
            *problems,
            *value_problems(self.nodes, self.allow_nonfinite),
            *note_problems(self, "graph"),
        ]
        if problems:
            raise GraphError(problems, "the graph is not valid")
        self.input_type = {
            n: np.array(node.shape, dtype=np.int64) for n, node in self.inputs().items()
        }
        self.output_type = {
            n: np.array(node.shape, dtype=np.int64) for n, node in self.outputs().items()
        }

    def _warn_of_dead_ends(self) -> None:
        useful = self.topology().leading_to(self.outputs())
        dead = [name for name in self.nodes if name not in useful]
        if dead:
            warnings.warn(
                f"{', '.join(map(repr, dead))}: no path leads from there to an Output, so it has "
                "no effect on the results",
                GraphWarning,
                stacklevel=3,
            )

    # What a graph can be asked ------------------------------------------------------------------

    def topology(self) -> Topology:
        """The names and edges, indexed."""
        return Topology(self.nodes, self.edges)

    def inputs(self) -> dict[str, Input]:
        """The Input nodes by name, in order."""
        return {n: node for n, node in self.nodes.items() if isinstance(node, Input)}

    def outputs(self) -> dict[str, Output]:
        """The Output nodes by name, in order."""
        return {n: node for n, node in self.nodes.items() if isinstance(node, Output)}

    def ports(self) -> dict[Edge, int]:
        """Which output of its source each edge takes: the k-th edge that leaves, the k-th."""
        return output_ports(self.nodes, self.edges)

    def flat(self) -> Flat:
        """The nodes and edges of the graph with those of nested graphs inlined.

        A node ``n`` of a nested graph ``g`` is named ``g/n``, as is its state.
        """
        return inline(self.nodes, self.edges, self.feedback)

    def feedback_edges(self) -> Edges:
        """The edges that run back in time: they deliver what was sent in the previous step.

        Decided by the rule in ``t1c.ir.topology`` for the graph with nested graphs inlined, so
        that nesting changes no meaning; edges are named as in ``flat()``.
        """
        # Inlining graphs in graphs at each depth would take a time that grows with its square.
        return self.flat().feedback_edges() if self.feedback or self._has_loops() else []

    def _has_loops(self) -> bool:
        """Whether there is a cycle among the nodes, or in a nested graph."""
        inner = (node for node in self.nodes.values() if isinstance(node, Graph))
        return bool(self.topology().loops()) or any(graph._has_loops() for graph in inner)

    def nonfinite(self) -> Iterator[Problem]:
        """What a nested graph holds of NaN and infinity."""
        for name, node in self.nodes.items():
            yield from (p.at(f"node {name!r}") for p in node.nonfinite())

    def replace(self: Any, **changes: Any) -> Any:
        """A copy of the graph with some of its constructor's arguments changed, checked anew.

        What is stated of ``feedback`` stays stated: pass it too where its edges go.

        Raises:
            GraphError: listing everything that is wrong with the changed graph.

        Example:
            >>> import numpy as np
            >>> from t1c import ir
            >>> graph = ir.Graph(
            ...     {"input": ir.Input(shape=(2,)), "output": ir.Output(shape=(2,))},
            ...     [("input", "output")],
            ... )
            >>> graph.replace(metadata={"task": "nothing"}).metadata
            {'task': 'nothing'}
        """
        given = {
            "nodes": self.nodes,
            "edges": self.edges,
            "metadata": self.metadata,
            "allow_cycles": self.allow_cycles,
            "feedback": self.feedback,
            "allow_nonfinite": self.allow_nonfinite,
        }
        return type(self)(**{**given, **changes})

    def values(self) -> dict[str, Any]:
        """What a graph is made of; see also ``difference``."""
        return {"nodes": self.nodes, "edges": self.edges, "allow_cycles": self.allow_cycles}

    @property
    def port_count(self) -> int:
        """One for each Output."""
        return len(self.outputs())

    def shapes(self, arriving: Sequence[Shape]) -> tuple[Shape | None, tuple[Shape, ...]]:
        """What arrives at a nested graph, and the shape of each of its Outputs.

        Several edges into a graph with one Input are added; one with several Inputs takes one
        edge for each, in order.
        """
        wanted = [tuple(node.shape) for node in self.inputs().values()]
        ports = tuple(tuple(node.shape) for node in self.outputs().values())
        if not arriving:
            return (wanted[0] if len(wanted) == 1 else None), ports
        if len(wanted) == 1:
            arriving = [self.merge(arriving)]
        if list(arriving) != wanted:
            raise ShapeError(
                Problem(
                    f"inputs of shapes {list(arriving)}",
                    f"one for each of its Inputs {list(self.inputs())}: {wanted}",
                )
            )
        return arriving[0], ports

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of the first Output, for a nested graph with one Input."""
        return self.shapes([shape])[1][0]

    def macs(self, arriving: Sequence[Shape] = ()) -> int:
        """Those of all nodes: the graph knows what reaches each of them."""
        return sum(self.node_macs().values())

    def node_macs(self) -> dict[str, int]:
        """The multiply-accumulates of each node, for one step of one sample."""
        before, ports = self.topology().before, self.ports()
        sent = {
            name: [as_shape(port) or () for port in (node.output_type or {}).values()]
            for name, node in self.nodes.items()
        }
        return {
            name: node.macs([sent[source][ports[source, name]] for source in before[name]])
            for name, node in self.nodes.items()
        }

    def typed(self, input_shape: Shape | None, ports: Sequence[Shape]) -> Graph:
        """A nested graph carries its own shapes."""
        return self

    def difference(self, other: Node) -> list[str]:
        """What differs from ``other``, one readable line each; empty if they are equal."""
        if not isinstance(other, Graph):
            return [f"type: Graph and {other.primitive}"]
        found = []
        for name in dict.fromkeys([*self.nodes, *other.nodes]):
            if name not in other.nodes or name not in self.nodes:
                side = "first" if name in self.nodes else "second"
                found.append(f"node {name!r}: only in the {side}")
            else:
                lines = self.nodes[name].difference(other.nodes[name])
                found += [f"node {name!r}: {line}" for line in lines]
        if not found and list(self.nodes) != list(other.nodes):
            found.append("nodes: the same in another order")
        if self.edges != other.edges:
            mine, theirs = set(self.edges), set(other.edges)
            found += [f"edge {a!r} -> {b!r}: only in the first" for a, b in sorted(mine - theirs)]
            found += [f"edge {a!r} -> {b!r}: only in the second" for a, b in sorted(theirs - mine)]
            if mine == theirs:
                found.append("edges: the same in another order")
        for field in ("allow_cycles", "feedback"):
            if getattr(self, field) != getattr(other, field):
                found.append(f"{field}: {getattr(self, field)} and {getattr(other, field)}")
        if not same_value(self.metadata, other.metadata):
            found.append(f"metadata: {show(self.metadata)} and {show(other.metadata)}")
        return found

    def equals(self, other: object) -> bool:
        """Whether ``other`` is the same graph by value: nodes, their order, edges, metadata."""
        return isinstance(other, Graph) and not self.difference(other)

    def __repr__(self) -> str:
        return as_text(self.nodes, self.edges, self._back())

    def _repr_html_(self) -> str:
        return as_html(self.nodes, self.edges, self._back())

    def _back(self) -> set[Edge]:
        return set(self.feedback_edges()) if self.allow_cycles else set()
