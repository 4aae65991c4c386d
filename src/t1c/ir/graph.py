"""Graph: named nodes, ordered edges, and the shapes that flow along them."""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import GraphError, GraphWarning, NodeError, Problem, ShapeError
from .fields import show
from .flat import Flat, inline, output_ports
from .metadata import clean_metadata, name_problem, same_value
from .node import Node, Shape, as_shape, register_node
from .primitives.border import Input, Output
from .topology import Edge, Topology

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
        self.metadata = {} if metadata is None else metadata  # type: ignore[assignment]
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
        problems = list(self._form_problems())
        if problems:
            raise GraphError(problems, "the graph is not valid")
        problems = [*self._edge_problems(), *self._node_problems()]
        if not problems:
            # Only now do cycles and shapes mean anything.
            problems = [*self._cycle_problems(), *self._infer_shapes()]
        problems = [*self._name_problems(), *problems, *self._value_problems()]
        if problems:
            raise GraphError(problems, "the graph is not valid")
        self.input_type = {
            n: np.array(node.shape, dtype=np.int64) for n, node in self.inputs().items()
        }
        self.output_type = {
            n: np.array(node.shape, dtype=np.int64) for n, node in self.outputs().items()
        }

    def _form_problems(self) -> Iterator[Problem]:
        """Nodes that are none, and edges that are no pairs of names."""
        given: Mapping[Any, Any] = self.nodes
        for name, node in given.items():
            if not isinstance(node, Node):
                remedy = "Convert modules with bridge.to_ir." if hasattr(node, "forward") else ""
                yield Problem(
                    f"a {type(node).__name__}", "a node of t1c.ir", remedy, where=f"node {name!r}"
                )
        pairs: list[Any] = [*self.edges, *self.feedback]
        for i, edge in enumerate(pairs):
            pair = isinstance(edge, tuple | list) and len(edge) == 2
            if not pair or not all(isinstance(name, str) for name in edge):
                yield Problem(show(edge), "a pair of node names", where=f"edge {i}")
            else:
                pairs[i] = tuple(edge)
        self.edges, self.feedback = pairs[: len(self.edges)], pairs[len(self.edges) :]

    def _name_problems(self) -> Iterator[Problem]:
        for name in self.nodes:
            problem = name_problem(name)
            if problem:
                yield Problem(problem, remedy="Rename the node.", where=f"node {name!r}")

    def _edge_problems(self) -> Iterator[Problem]:
        seen: set[Edge] = set()
        for source, target in self.edges:
            where = f"edge {source!r} -> {target!r}"
            for name in (source, target):
                if name not in self.nodes:
                    yield Problem(
                        f"there is no node {name!r}",
                        "an edge between nodes of the graph",
                        "Add the node, or drop the edge.",
                        where,
                    )
            if (source, target) in seen:
                yield Problem(
                    "duplicate edge",
                    "each edge once",
                    "Drop one; to add a value twice, put a node with twice its weight between.",
                    where,
                )
            seen.add((source, target))
            if isinstance(self.nodes.get(target), Input):
                yield Problem("an edge leads into an Input", "edges out of it only", "", where)
            if isinstance(self.nodes.get(source), Output):
                yield Problem("an edge leads out of an Output", "edges into it only", "", where)
            if source == target and not self.allow_cycles:
                yield Problem(
                    "a self-loop", "no cycles", "Pass allow_cycles=True if it is meant.", where
                )
        for edge in self.feedback:
            where = f"feedback edge {edge[0]!r} -> {edge[1]!r}"
            if edge not in seen:
                yield Problem("not an edge of the graph", "one of its edges", "", where)
            elif not self.nodes[edge[0]].breaks_cycles:
                yield Problem(
                    f"it leaves a {self.nodes[edge[0]].primitive}",
                    "an edge that leaves a neuron, which remembers what it sent",
                    "",
                    where,
                )

    def _node_problems(self) -> Iterator[Problem]:
        for kind in (Input, Output):
            if not any(isinstance(node, kind) for node in self.nodes.values()):
                name = kind.__name__
                yield Problem(
                    f"there is no {name}",
                    "at least one",
                    f"Add ir.{name}(shape=...) and an edge.",
                    "graph",
                )
        fed = {target for _, target in self.edges}
        leaving = Counter(source for source, _ in self.edges)
        for name, node in self.nodes.items():
            where = f"node {name!r} ({node.primitive})"
            if name not in fed and not node.runs_alone:
                yield Problem(
                    "no edge leads to it",
                    "at least one: it computes nothing by itself",
                    "Add an edge, or drop the node.",
                    where,
                )
            if 1 < node.port_count < leaving[name]:
                yield Problem(
                    f"{leaving[name]} edges leave it, and it has {node.port_count} outputs",
                    "at most one edge for each output",
                    "Send an output on through an Identity to use it more than once.",
                    where,
                )
            try:
                node.check()
            except (NodeError, GraphError) as error:
                for p in error.problems:
                    own = p.where in ("", node.primitive)
                    yield dataclasses.replace(p, where=where) if own else p.at(where)

    def _value_problems(self) -> Iterator[Problem]:
        """Numbers that are none, and metadata that no file can hold."""
        for name, node in self.nodes.items():
            where = f"node {name!r} ({node.primitive})"
            if not self.allow_nonfinite:
                yield from (p.at(where) for p in node.nonfinite())
            yield from _clean_notes(node, where)
        yield from _clean_notes(self, "graph")

    def _cycle_problems(self) -> Iterator[Problem]:
        topology = self.topology()
        loops = topology.loops()
        if not self.allow_cycles:
            for loop in loops:
                yield Problem(
                    f"the cycle {' -> '.join(topology.cycle_in(loop))}",
                    "no cycles",
                    "Pass allow_cycles=True if the recurrence is meant.",
                    "graph",
                )
        if self.allow_cycles:
            try:
                self.feedback_edges()
            except GraphError as error:
                yield from error.problems
        for source, target in topology.off_cycle(self.feedback):
            yield Problem(
                "it lies on no cycle",
                "an edge of a cycle: only a cycle needs one that runs back",
                "",
                f"feedback edge {source!r} -> {target!r}",
            )

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

    # Shapes --------------------------------------------------------------------------------

    def _infer_shapes(self) -> list[Problem]:
        """Let shapes flow along the edges, then check every node with all that reaches it."""
        topology = self.topology()
        ports = self.ports()
        sent = self._flow(topology, ports)
        problems: list[Problem] = []
        for name, node in self.nodes.items():
            sources = topology.before[name]
            if any(s not in sent for s in sources):
                continue
            arriving = [sent[s][ports[s, name]] for s in sources]
            where = f"node {name!r} ({node.primitive})"
            try:
                self.nodes[name] = typed = node.typed(*node.shapes(arriving))
                leaving = tuple(as_shape(port) for port in (typed.output_type or {}).values())
                if leaving != sent.get(name, leaving):
                    problems.append(_mistaken(where, sent[name], leaving))
            except ShapeError as error:
                routes = [f"{s!r} {shape}" for s, shape in zip(sources, arriving, strict=True)]
                note = f" (from {', '.join(routes)})" if routes else ""
                problems += [
                    dataclasses.replace(p, where=where, found=p.found + note)
                    for p in error.problems
                ]
        unknown = [name for name in self.nodes if name not in sent]
        if unknown and not problems:
            problems.append(
                Problem(
                    "the shape cannot be told from the edges",
                    "a path from an Input, or a declared shape",
                    "Give one of them input_type={'input': shape}.",
                    f"nodes {', '.join(map(repr, unknown))}",
                )
            )
        return problems

    def _flow(self, topology: Topology, ports: dict[Edge, int]) -> dict[str, tuple[Shape, ...]]:
        """The shapes that each node sends, one for each output, as far as they can be told.

        Inside a cycle not all inputs of a node can be known before its output. There a node is
        tried with those that are, which is enough wherever inputs are added or combined element by
        element; what then does not fit shows when every node is checked with all of them.
        """
        sent: dict[str, tuple[Shape, ...]] = {}

        def shapes(name: str) -> tuple[bool, Shape | None, tuple[Shape, ...]]:
            """Whether any input is known, and what node and inputs say together."""
            node = self.nodes[name]
            inputs = [sent[s][ports[s, name]] if s in sent else None for s in topology.before[name]]
            arriving = [shape for shape in inputs if shape is not None]
            told = bool(arriving)
            try:
                whole = len(arriving) == len(inputs)
                return told, *node.shapes(arriving if whole else node.supposed(inputs))
            except ShapeError:
                return told, None, ()

        def first_guess(waiting: Iterable[str]) -> tuple[str, tuple[Shape, ...]] | None:
            """One more: from inputs that are added, else as declared, else from other inputs.

            If none is known, from parameters. The larger suggestion comes first: a vector of
            parameters may be meant per channel.
            """
            guesses = []
            for name in waiting:
                node = self.nodes[name]
                told, arriving, found = shapes(name)
                if told and node.adds_inputs and found:
                    return name, found
                declared = bool(node.declared_input or node.declared_output)
                if found:
                    rank = (declared, told, len(arriving or ()), arriving or ())
                    guesses.append((rank, name, found))
            if not guesses:
                return None
            _, name, found = max(guesses, key=lambda guess: guess[0])
            return name, found

        for part in topology.parts():
            waiting = dict.fromkeys(part)
            queue = list(part)
            while waiting:
                for name in queue:  # grows as it is walked
                    if name not in waiting or any(s not in sent for s in topology.before[name]):
                        continue
                    del waiting[name]
                    _, _, found = shapes(name)
                    if found:
                        sent[name] = found
                        queue += topology.after[name]
                guess = first_guess(waiting)
                if guess is None:
                    break
                name, sent[name] = guess
                del waiting[name]
                queue = list(topology.after[name])
        return sent

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
        return inline(self)

    def feedback_edges(self) -> Edges:
        """The edges that run back in time: they deliver what was sent in the previous step.

        Decided by the rule in ``t1c.ir.topology`` for the graph with nested graphs inlined, so
        that nesting changes no meaning; edges are named as in ``flat()``.
        """
        return self.flat().feedback_edges()

    def nonfinite(self) -> Iterator[Problem]:
        """What a nested graph holds of NaN and infinity."""
        for name, node in self.nodes.items():
            yield from (p.at(f"node {name!r}") for p in node.nonfinite())

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
        from .table import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from .table import as_html

        return as_html(self)


def _mistaken(where: str, supposed: Sequence[Shape], leaving: Sequence[Shape | None]) -> Problem:
    """What to say where a node in a loop gets other inputs than the first of them suggested."""
    return Problem(
        f"{', '.join(map(str, supposed))} was taken for the shape of what it sends, and it sends "
        f"{', '.join(map(str, leaving))}",
        "a loop whose shapes follow from what reaches it first",
        "Give the node input_type={'input': shape}.",
        where,
    )


def _clean_notes(node: Node, where: str) -> Iterator[Problem]:
    """Settle the node's metadata, which may have been changed, or say what no file can hold."""
    try:
        node.metadata = clean_metadata(node.metadata)
    except NodeError as error:
        yield from (p.at(where) for p in error.problems)
