"""What is to be known of every node of a graph, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from t1c import ir
from t1c.ir.metadata import Metadata
from t1c.ir.shapes import Shape, as_shape
from t1c.ir.table import border_kind, parameter_count


@dataclass(frozen=True)
class Source:
    """Where a node takes an input from; ``feedback``: what was sent there in the previous step."""

    node: str
    feedback: bool


@dataclass(frozen=True)
class NodeInfo:
    """One node of a graph; a nested graph counts with all that it holds.

    Attributes:
        name: in the graph.
        type: the primitive.
        input_type: port name -> shape without time and batch.
        output_type: the same for what leaves the node.
        parameters: how many numbers its arrays hold.
        bytes: how many bytes these take, uncompressed.
        state: how many numbers it carries from step to step for each sample. A node whose output
            runs back in time carries that output too.
        sources: what leads to it, in the order of its inputs.
        metadata: the node's notes.
        hold: of an Input: for how many steps it holds the one value that it is given; None
            where it takes a sequence.
        final: of an Output: whether its answer is the value at the last step.
    """

    name: str
    type: str
    input_type: dict[str, Shape]
    output_type: dict[str, Shape]
    parameters: int
    bytes: int
    state: int
    sources: tuple[Source, ...]
    metadata: Metadata
    hold: int | None = None
    final: bool = False

    @property
    def kind(self) -> str:
        """The primitive, and what a border says of time, for people."""
        return border_kind(self.type, self.hold, self.final)


def node_infos(graph: ir.Graph) -> tuple[NodeInfo, ...]:
    """What is to be known of every node of a graph, in order."""
    before = graph.topology().before
    back = set(graph.feedback_edges())
    remembered = {source for source, _ in back}
    return tuple(
        NodeInfo(
            name=name,
            type=node.primitive,
            input_type=_shapes(node.input_type),
            output_type=_shapes(node.output_type),
            parameters=parameter_count(node),
            bytes=_parameter_bytes(node),
            state=_state_size(node, name in remembered),
            sources=tuple(Source(s, (s, name) in back) for s in before[name]),
            metadata=node.metadata,
            hold=node.hold if isinstance(node, ir.Input) else None,
            final=isinstance(node, ir.Output) and node.final,
        )
        for name, node in graph.nodes.items()
    )


def _shapes(types: ir.Shape | None) -> dict[str, Shape]:
    return {port: as_shape(shape) or () for port, shape in (types or {}).items()}


def _parameter_bytes(node: ir.Node) -> int:
    if isinstance(node, ir.Graph):
        return sum(_parameter_bytes(inner) for inner in node.nodes.values())
    return sum(array.nbytes for array in node.parameters().values())


def _state_size(node: ir.Node, remembered: bool) -> int:
    """Numbers per sample; those of a ``remembered`` node include its last output."""
    if isinstance(node, ir.Graph):
        return sum(inner.state for inner in node_infos(node))
    shapes = _shapes(node.input_type)
    at_rest = node.initial_state((1, *shapes["input"]), np.dtype(np.float32))
    sent = np.prod(_shapes(node.output_type)["output"]) if remembered else 0
    return int(sum(variable.size for variable in at_rest) + sent)
