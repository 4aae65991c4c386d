"""What a network is: its layers, what each costs, and what its neurons are set to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from t1c import ir, nir
from t1c.ir.errors import InputError
from t1c.ir.metadata import Metadata
from t1c.ir.shapes import Shape
from t1c.ir.table import border_kind
from t1c.ir.topology import Edge
from t1c.nir import GraphSource

from ..nodes import NodeInfo, Source, node_infos
from ..numbers import format_bytes, format_number, format_seconds
from ..query.named import no_such_node
from ..report import Facts, Part, Report, Table
from ..totals import Totals
from .costs import depth_of, seconds_in_step, sent_by, weighted
from .neurons import NeuronSettings, neuron_settings


@dataclass(frozen=True, repr=False)
class NodeAnalysis(Report):
    """One node; a nested graph counts with all that it holds.

    Attributes:
        name: in the graph; a node of a nested graph is ``graph/node``.
        type: the primitive, and what a border says of time.
        input_type: port name -> shape without time and batch.
        output_type: the same for what leaves the node.
        parameters: how many numbers its arrays hold.
        bytes: how many bytes these take.
        macs: multiply-accumulates of one step of one sample, done densely.
        state: how many numbers it carries from step to step for each sample.
        sources: what leads to it, in the order of its inputs.
        neuron: what it is set to, if it is a neuron, a Threshold or a Delay.
        inside: the nodes of a nested graph.
        metadata: the node's notes.
    """

    name: str
    type: str
    input_type: dict[str, Shape]
    output_type: dict[str, Shape]
    parameters: int
    bytes: int
    macs: int
    state: int
    sources: tuple[Source, ...]
    neuron: NeuronSettings | None
    inside: tuple[NodeAnalysis, ...]
    metadata: Metadata

    def walk(self) -> Iterator[NodeAnalysis]:
        """The node, and those in it, however deep."""
        yield self
        for node in self.inside:
            yield from node.walk()

    def neurons(self) -> Iterator[NodeAnalysis]:
        """The node if it is set to something, or else those in it that are."""
        if self.neuron is not None:
            yield self
        else:
            for node in self.inside:
                yield from node.neurons()

    def parts(self) -> Sequence[Part]:
        """Facts, and a table of what is inside."""
        sources = [s.node + (" (of the step before)" if s.feedback else "") for s in self.sources]
        pairs = [
            ("node", self.name),
            ("type", self.type),
            ("takes", _shapes(self.input_type)),
            ("sends", _shapes(self.output_type)),
            ("from", ", ".join(sources)),
            ("parameters", f"{self.parameters:,} ({format_bytes(self.bytes)})"),
            ("multiply-accumulates", f"{self.macs:,} per step and sample"),
            ("state", f"{self.state:,} numbers per sample"),
            ("set to", "" if self.neuron is None else self.neuron.text),
            *((f"note {key!r}", str(value)) for key, value in self.metadata.items()),
        ]
        found: list[Part] = [Facts(tuple((key, value) for key, value in pairs if value))]
        return [*found, _table(self.inside, "Inside")] if self.inside else found


@dataclass(frozen=True, repr=False)
class GraphAnalysis(Totals):
    """A network.

    Attributes:
        nodes: in the order of the graph.
        edges: how many.
        feedback: the edges that run back in time, named as in ``graph.flat()``.
        depth: how many nodes lie on the longest way through it, not counting what does nothing.
        layers: how many of them multiply and add up: the longest chain of layers with weights.
        width: the most numbers that a node sends in a step of a sample.
        widest: that node.
        dt: seconds in one step; None where nothing says it.
        metadata: the graph's notes.
    """

    nodes: tuple[NodeAnalysis, ...]
    edges: int
    feedback: tuple[Edge, ...]
    depth: int
    layers: int
    width: int
    widest: str
    dt: float | None
    metadata: Metadata

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one step of one sample, done densely."""
        return sum(node.macs for node in self.nodes)

    def neurons(self) -> dict[str, NodeAnalysis]:
        """The nodes that are set to something, those of nested graphs too, by name."""
        return {inner.name: inner for node in self.nodes for inner in node.neurons()}

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it: the attributes, and the totals under their names."""
        totals = {name: getattr(self, name) for name in ("parameters", "bytes", "macs", "state")}
        return {**super().to_dict(), **totals}

    def parts(self) -> Sequence[Part]:
        """Totals, a table of layers, and what the neurons are set to."""
        back = ", ".join(f"{a} -> {b}" for a, b in self.feedback)
        pairs = [
            ("nodes", f"{len(self.nodes)}, edges {self.edges}"),
            ("parameters", f"{self.parameters:,} ({format_bytes(self.bytes)})"),
            ("multiply-accumulates", f"{self.macs:,} per step and sample, done densely"),
            ("state", f"{self.state:,} numbers per sample"),
            ("depth", f"{self.depth} nodes, {self.layers} of them with weights"),
            ("width", f"{self.width:,} numbers, sent by {self.widest}"),
            ("runs back in time", back),
            ("step", "" if self.dt is None else format_seconds(self.dt)),
        ]
        found: list[Part] = [Facts(tuple((key, value) for key, value in pairs if value))]
        found.append(_table(self.nodes, "Layers"))
        if self.neurons():
            found.append(_neurons(self.neurons()))
        return found


def analyze_graph(
    source: GraphSource, *, dt: float | None = None, allow_nonfinite: bool = False
) -> GraphAnalysis:
    """What a network is and what it costs, before anything is run.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        dt: seconds in one step: needed to read a ``.nir`` file that does not say it; of others it
            tells the time constants in seconds. If None, what the graph records.
        allow_nonfinite: accept NaN and infinite parameters.

    Raises:
        T1CError: the source is not valid.
        OSError: there is no such file.

    Example:
        >>> import numpy as np
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((4,)),
        ...      "fc": ir.Affine(np.ones((3, 4)), np.zeros(3)),
        ...      "lif": ir.LIF(*map(np.array, (8.0, 8.0, 0.0, 1.0))),
        ...      "out": ir.Output((3,))},
        ...     [("in", "fc"), ("fc", "lif"), ("lif", "out")],
        ... )
        >>> analysis = analyze_graph(graph, dt=1e-4)
        >>> analysis.parameters, analysis.macs, analysis.state, analysis.depth
        (19, 12, 3, 2)
        >>> analysis.neurons()["lif"].neuron.settings[0].text
        'tau 8 steps (800 µs)'
    """
    graph = nir.read_graph(source, dt, allow_nonfinite=allow_nonfinite)
    seconds = seconds_in_step(graph, dt)
    flat = graph.flat()
    widths = {name: sent_by(node) for name, node in flat.nodes.items()}
    widest = max(widths, key=widths.__getitem__)
    return GraphAnalysis(
        nodes=_analyses(graph, seconds, ""),
        edges=len(graph.edges),
        feedback=tuple(flat.feedback_edges()),
        depth=depth_of(graph),
        layers=depth_of(graph, weighted(graph)),
        width=widths[widest],
        widest=widest,
        dt=seconds,
        metadata=graph.metadata,
    )


def analyze_node(
    source: GraphSource, name: str, *, dt: float | None = None, allow_nonfinite: bool = False
) -> NodeAnalysis:
    """What one node of a network is and costs.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        name: of the node; ``graph/node`` of one in a nested graph.
        dt: as of ``analyze_graph``.
        allow_nonfinite: accept NaN and infinite parameters.

    Raises:
        InputError: there is no such node.
        T1CError: the source is not valid.
        OSError: there is no such file.

    Example:
        >>> analyze_node("model.t1c", "fc").macs  # doctest: +SKIP
        5888
    """
    analysis = analyze_graph(source, dt=dt, allow_nonfinite=allow_nonfinite)
    found = {inner.name: inner for node in analysis.nodes for inner in node.walk()}
    if name not in found:
        raise InputError(no_such_node(name, found))
    return found[name]


def _analyses(graph: ir.Graph, dt: float | None, prefix: str) -> tuple[NodeAnalysis, ...]:
    macs = graph.node_macs()
    return tuple(
        _analysis(info, graph.nodes[info.name], macs[info.name], dt, prefix)
        for info in node_infos(graph)
    )


def _analysis(
    info: NodeInfo, node: ir.Node, macs: int, dt: float | None, prefix: str
) -> NodeAnalysis:
    name = prefix + info.name
    return NodeAnalysis(
        name=name,
        type=border_kind(info.type, info.hold, info.final),
        input_type=info.input_type,
        output_type=info.output_type,
        parameters=info.parameters,
        bytes=info.bytes,
        macs=macs,
        state=info.state,
        sources=tuple(Source(prefix + s.node, s.feedback) for s in info.sources),
        neuron=neuron_settings(node, dt),
        inside=_analyses(node, dt, f"{name}/") if isinstance(node, ir.Graph) else (),
        metadata=info.metadata,
    )


def _shapes(types: dict[str, Shape]) -> str:
    return ", ".join(str(shape) for shape in types.values())


def _table(nodes: Sequence[NodeAnalysis], title: str) -> Table:
    columns = ("node", "type", "sends", "parameters", "bytes", "MACs", "state")
    counts = [(node.parameters, node.bytes, node.macs, node.state) for node in nodes]
    rows = tuple(
        (node.name, node.type, _shapes(node.output_type), *_cells(count))
        for node, count in zip(nodes, counts, strict=True)
    )
    total = ("", "", "", *_cells(tuple(map(sum, zip(*counts, strict=True)))))
    return Table(columns, rows, title, total, columns[3:])


def _cells(counts: tuple[int, ...]) -> tuple[str, ...]:
    parameters, size, macs, state = counts
    return (
        f"{parameters:,}" if parameters else "",
        format_bytes(size) if size else "",
        format_number(macs) if macs else "",
        f"{state:,}" if state else "",
    )


def _neurons(nodes: dict[str, NodeAnalysis]) -> Table:
    rows = tuple(
        (
            name,
            node.type,
            _shapes(node.output_type),
            "" if node.neuron is None else node.neuron.text,
        )
        for name, node in nodes.items()
    )
    return Table(("node", "type", "size", "set to"), rows, "Neurons and delays")
