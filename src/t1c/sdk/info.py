"""What a file holds, in numbers: ``t1c info``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t1c import ir, nir
from t1c.ir.fields import show
from t1c.ir.metadata import Metadata
from t1c.ir.shapes import Shape, as_shape
from t1c.ir.table import border_kind, parameter_count
from t1c.ir.topology import Edge

from .jsonable import jsonable
from .numbers import format_bytes
from .report import Facts, Part, Report, Table


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


@dataclass(frozen=True, repr=False)
class FileInfo(Report):
    """A ``.t1c`` or ``.nir`` file and the graph in it.

    Attributes:
        file: the path as it was given.
        format: 't1c' or 'nir'.
        format_version: the lowest version of the format that can read the file; of a NIR file,
            what it says itself.
        file_bytes: its size on disk.
        nodes: in the order of the graph.
        edges: how many.
        metadata: the graph's notes.
    """

    file: str
    format: str
    format_version: str
    file_bytes: int
    nodes: tuple[NodeInfo, ...]
    edges: int
    metadata: Metadata

    @property
    def parameters(self) -> int:
        """Numbers in all arrays."""
        return sum(node.parameters for node in self.nodes)

    @property
    def bytes(self) -> int:
        """Bytes of all arrays, uncompressed."""
        return sum(node.bytes for node in self.nodes)

    @property
    def state(self) -> int:
        """Numbers carried from step to step for each sample."""
        return sum(node.state for node in self.nodes)

    @property
    def feedback(self) -> list[Edge]:
        """The edges that run back in time: they deliver what was sent in the previous step."""
        return [(s.node, node.name) for node in self.nodes for s in node.sources if s.feedback]

    def parts(self) -> list[Part]:
        """A heading, the nodes, what runs back, and the notes."""
        name = "format" if self.format == "t1c" else "NIR"
        told: list[Part] = [
            f"{self.file}: {name} {self.format_version}, {format_bytes(self.file_bytes)}",
            self._table(),
        ]
        if self.feedback:
            edges = "\n".join(f"{source} -> {target}" for source, target in self.feedback)
            told.append(f"Feedback, one step late (t-1)\n{edges}")
        notes = list(_flat(self.metadata))
        for node in self.nodes:
            notes += ((f"{node.name}: {key}", value) for key, value in _flat(node.metadata))
        if notes:
            told.append(Facts(tuple(notes), "Metadata"))
        return told

    def _table(self) -> Table:
        numbers = ("parameters", "bytes", "state")
        rows = [
            (
                node.name,
                node.kind,
                _ports(node.output_type),
                *(f"{getattr(node, name):,}" if getattr(node, name) else "" for name in numbers),
                ", ".join(s.node + " (t-1)" * s.feedback for s in node.sources),
            )
            for node in self.nodes
        ]
        totals = (f"{len(self.nodes)} nodes", f"{self.edges} edges")
        return Table(
            ("node", "type", "output shape", *numbers, "from"),
            tuple(rows),
            total=("total", *totals, *(f"{getattr(self, name):,}" for name in numbers), ""),
            right=numbers,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it.

        Keys: ``file``, ``format``, ``format_version``, ``file_bytes``, ``nodes`` (a list of
        objects with the attributes of ``NodeInfo``; ``sources`` holds objects with ``node`` and
        ``feedback``), ``edges``, ``parameters``, ``bytes``, ``state`` (totals), ``feedback``
        (pairs of names) and ``metadata``. Shapes and arrays are lists; numbers that are not finite
        are text such as ``"nan"``. Keys may be added in later versions, none will change its
        meaning.
        """
        totals = {"parameters": self.parameters, "bytes": self.bytes, "state": self.state}
        everything = {**asdict(self), **totals, "feedback": self.feedback}
        everything["metadata"] = everything.pop("metadata")  # free notes come last
        plain: dict[str, Any] = jsonable(everything)
        return plain


def file_info(
    path: str | os.PathLike[str], *, dt: float | None = None, allow_nonfinite: bool = False
) -> FileInfo:
    """Look into a ``.t1c`` or ``.nir`` file.

    Args:
        path: the file.
        dt: seconds in one step, for a ``.nir`` file that does not say it.
        allow_nonfinite: accept NaN and infinite parameters.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is neither, or is damaged.
        ConventionError: its dt is not known.
        GraphError: its nodes and edges do not make a valid graph.

    Example:
        >>> file_info("model.t1c").parameters  # doctest: +SKIP
        6102
    """
    graph = nir.read_graph(path, dt, allow_nonfinite=allow_nonfinite)
    of_nir = nir.is_nir(path)
    return FileInfo(
        file=os.fspath(path),
        format="nir" if of_nir else "t1c",
        format_version=nir.read_version(path) if of_nir else ir.read_version(path),
        file_bytes=Path(path).stat().st_size,
        nodes=node_infos(graph),
        edges=len(graph.edges),
        metadata=graph.metadata,
    )


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


def _ports(shapes: Mapping[str, Shape]) -> str:
    """One shape as it is, several with the names of their ports."""
    if len(shapes) == 1:
        return str(*shapes.values())
    return ", ".join(f"{port} {shape}" for port, shape in shapes.items())


def _flat(notes: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Nested notes as (dotted path, value)."""
    for key, value in notes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", _brief(value)


def _brief(value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return value if isinstance(value, str) else show(value)
