"""Everything about one node."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import show
from t1c.ir.hdf5_layout import BASE_VERSION, needed_version
from t1c.ir.metadata import Metadata
from t1c.ir.shapes import Shape
from t1c.ir.topology import Edge
from t1c.nir import GraphSource, read_graph

from ..jsonable import jsonable
from ..nodes import node_infos
from ..report import Facts, Part, Report
from .named import find_node, home_of
from .statistics import ArrayStatistics, Statistics, array_statistics


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A node at the other end of an edge.

    Attributes:
        node: its name, in the same graph.
        type: its primitive.
        port: which output of its source the edge takes.
        shape: what passes, without time and batch.
        feedback: the edge runs back in time.
    """

    node: str
    type: str
    port: int
    shape: Shape
    feedback: bool

    @property
    def text(self) -> str:
        """The neighbour in a few words."""
        port = f", output {self.port}" if self.port else ""
        back = ", one step late (t-1)" if self.feedback else ""
        return f"{self.node} ({self.type}{port}) {self.shape}{back}"


@dataclasses.dataclass(frozen=True, repr=False)
class NodeReport(Report):
    """Everything about one node.

    Attributes:
        name: as it was asked for.
        type: the primitive.
        meaning: what it computes: the primitive's docstring.
        fields: field name -> value, arrays included; of a nested graph its nodes' primitives.
        arrays: the statistics of its arrays.
        input_type, output_type: port name -> shape.
        inputs: where its input comes from, in the order in which it is taken.
        outputs: where its output goes, in the order of the edges.
        state: the names of the variables that it carries from step to step.
        state_size: how many numbers these are, for each sample; see ``NodeInfo.state``.
        parameters, bytes: how many numbers its arrays hold, and their bytes.
        format_version: the first version of the file format that can hold it.
        metadata: its notes.
    """

    name: str
    type: str
    meaning: str
    fields: dict[str, Any]
    arrays: tuple[ArrayStatistics, ...]
    input_type: dict[str, Shape]
    output_type: dict[str, Shape]
    inputs: tuple[Neighbour, ...]
    outputs: tuple[Neighbour, ...]
    state: tuple[str, ...]
    state_size: int
    parameters: int
    bytes: int
    format_version: str
    metadata: Metadata

    def parts(self) -> Sequence[Part]:
        """Facts, fields, arrays, notes, and what it computes."""
        facts = [
            ("node", self.name),
            ("type", self.type),
            ("input shape", _shapes(self.input_type)),
            ("output shape", _shapes(self.output_type)),
            ("parameters", f"{self.parameters:,} ({self.bytes:,} bytes)"),
            *(("from", neighbour.text) for neighbour in self.inputs),
            *(("to", neighbour.text) for neighbour in self.outputs),
        ]
        if self.state_size:
            named = f" ({', '.join(self.state)})" if self.state else ""
            facts.append(("state", f"{self.state_size:,} numbers{named}"))
        if self.format_version != BASE_VERSION:
            facts.append(("format", f"{self.format_version} and later"))
        parts: list[Part] = [Facts(tuple(facts))]
        fields = tuple((name, _brief(value)) for name, value in self.fields.items())
        if fields:
            parts.append(Facts(fields, "Fields"))
        if self.arrays:
            parts += Statistics(self.arrays).parts()
        if self.metadata:
            notes = tuple((key, show(value)) for key, value in self.metadata.items())
            parts.append(Facts(notes, "Metadata"))
        return [*parts, self.meaning] if self.meaning else parts

    def to_dict(self) -> dict[str, Any]:
        """The attributes; arrays in ``fields`` are nested lists."""
        plain: dict[str, Any] = jsonable(dataclasses.asdict(self))
        return plain


def inspect_node(source: GraphSource, name: str, *, dt: float | None = None) -> NodeReport:
    """Everything about one node: fields, statistics, neighbours, shapes, state, meaning.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        name: of the node; ``g/n`` is node ``n`` of the nested graph ``g``.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        InputError: there is no such node.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "if": ir.IF(np.array([1.0])), "out": ir.Output((2,))},
        ...     [("in", "if"), ("if", "out")],
        ... )
        >>> node = inspect_node(graph, "if")
        >>> node.state, node.inputs[0].text, node.outputs[0].node
        (('v',), 'in (Input) (2,)', 'out')
    """
    graph = read_graph(source, dt)
    node, home, last = find_node(graph, name), home_of(graph, name), name.rpartition("/")[2]
    infos = {info.name: info for info in node_infos(home)}
    info, ports, topology = infos[last], home.ports(), home.topology()
    prefix = name[: len(name) - len(last)]
    back = _late(graph, home, prefix)

    def neighbour(edge: Edge, other: str) -> Neighbour:
        shapes = list(infos[edge[0]].output_type.values())
        port = ports[edge]
        return Neighbour(other, infos[other].type, port, shapes[port], edge in back)

    nested = isinstance(node, ir.Graph)
    fields = node.values()
    if isinstance(node, ir.Graph):
        fields = {n: part.primitive for n, part in node.nodes.items()}
    return NodeReport(
        name=name,
        type=node.primitive,
        meaning=inspect.getdoc(type(node)) or "",
        fields=fields,
        arrays=tuple(array_statistics(name, f, v) for f, v in node.parameters().items()),
        input_type=info.input_type,
        output_type=info.output_type,
        inputs=tuple(neighbour((s, last), s) for s in topology.before[last]),
        outputs=tuple(neighbour((last, t), t) for t in topology.after[last]),
        state=() if nested else tuple(node.state_names),
        state_size=info.state,
        parameters=info.parameters,
        bytes=info.bytes,
        format_version=needed_version(node, nested=True),
        metadata=node.metadata,
    )


def _late(graph: ir.Graph, home: ir.Graph, prefix: str) -> set[Edge]:
    """The edges of the graph ``home`` that run back in time."""
    late = set(graph.feedback_edges())
    flat = home.flat()
    outer = flat.edges[len(flat.edges) - len(home.edges) :]  # in the order of the graph's edges
    return {
        mine
        for mine, (a, b) in zip(home.edges, outer, strict=True)
        if (f"{prefix}{a}", f"{prefix}{b}") in late
    }


def _shapes(types: dict[str, Shape]) -> str:
    if len(types) == 1:
        return str(*types.values())
    return ", ".join(f"{port} {shape}" for port, shape in types.items()) or "none"


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        form = f"{value.dtype} {value.shape}"
        if (value == value.flat[0]).all():
            everywhere = " everywhere" if value.size > 1 else ""
            return f"{value.flat[0]:.6g}{everywhere}, {form}"
        low, high = value.min(), value.max()
        return f"{low:.6g} to {high:.6g}, {form}"
    return value if isinstance(value, str) else show(value)
