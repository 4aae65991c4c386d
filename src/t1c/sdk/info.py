"""What a file holds, in numbers: ``t1c info``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from t1c import ir, nir
from t1c.ir.fields import show
from t1c.ir.hdf5 import count_checksums
from t1c.ir.metadata import Metadata
from t1c.ir.shapes import Shape
from t1c.ir.topology import Edge

from .jsonable import jsonable
from .measure.costs import seconds_in_step
from .measure.neurons import NeuronSettings, neuron_settings, stated_settings
from .nodes import NodeInfo, node_infos
from .numbers import format_bytes
from .report import Facts, Part, Table
from .totals import Totals

TIMELESS = (
    "The file does not say how long a step is: times are told in seconds, as it has them. "
    "With dt=1e-4 (--dt 100us) they are told in steps; whatever runs it needs that."
)


@dataclass(frozen=True, repr=False)
class FileInfo(Totals):
    """A ``.t1c`` or ``.nir`` file and the graph in it.

    Attributes:
        file: the path as it was given.
        format: 't1c' or 'nir'.
        format_version: the lowest version of the format that can read the file; of a NIR file,
            what it says itself.
        file_bytes: its size on disk.
        nodes: in the order of the graph.
        edges: how many.
        neurons: what neurons, Thresholds and Delays are set to, by name; those of a nested graph
            ``g`` are named ``g/node``.
        metadata: the graph's notes.
        dt: seconds in one step; None where nothing says it.
        in_steps: times and delays count steps; if not, the file is a NIR file that does not say
            its step, ``neurons`` holds what it says itself, times in seconds, and ``state`` counts
            a delay as one step.
        checksums: how many the file carries; None if it was written without, as NIR files are.
        verified: they were checked, and all that was read is what was written.
    """

    file: str
    format: str
    format_version: str
    file_bytes: int
    nodes: tuple[NodeInfo, ...]
    edges: int
    neurons: dict[str, NeuronSettings]
    metadata: Metadata
    dt: float | None = None
    in_steps: bool = True
    checksums: int | None = None
    verified: bool = False

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
        if self.neurons:
            rows = tuple((name, neuron.text) for name, neuron in self.neurons.items())
            told.append(Table(("neuron", "set to"), rows))
        if not self.in_steps:
            names = {s.name for neuron in self.neurons.values() for s in neuron.settings}
            told.append(TIMELESS + " State counts each delay as one step." * ("delay" in names))
        if self.feedback:
            edges = "\n".join(f"{source} -> {target}" for source, target in self.feedback)
            told.append(f"Feedback, one step late (t-1)\n{edges}")
        notes = list(_flat(self.metadata))
        for node in self.nodes:
            notes += ((f"{node.name}: {key}", value) for key, value in _flat(node.metadata))
        if notes:
            told.append(Facts(tuple(notes), "Metadata"))
        if self.format == "t1c":
            told.append(self._soundness())
        return told

    def _soundness(self) -> str:
        if self.checksums is None:
            return "It carries no checksums: damage to its numbers would not show."
        how = "all of them right" if self.verified else "not checked"
        return f"{self.checksums:,} checksums, {how}."

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
        ``feedback``), ``edges``, ``neurons`` (an object by name), ``parameters``, ``bytes``,
        ``state`` (totals), ``feedback`` (pairs of names) and ``metadata``. Shapes and arrays are
        lists; numbers that are not finite are text such as ``"nan"``. ``dt`` and ``in_steps``
        say what times are told in, ``checksums`` (a number or null) and ``verified`` whether
        what was read is what was written. Keys may be added in later versions, none will change its
        meaning.
        """
        totals = {"parameters": self.parameters, "bytes": self.bytes, "state": self.state}
        everything = {**asdict(self), **totals, "feedback": self.feedback}
        everything["metadata"] = everything.pop("metadata")  # free notes come last
        plain: dict[str, Any] = jsonable(everything)
        return plain


def file_info(
    path: str | os.PathLike[str],
    *,
    dt: float | None = None,
    allow_nonfinite: bool = False,
    verify: bool = True,
) -> FileInfo:
    """Look into a ``.t1c`` or ``.nir`` file.

    Args:
        path: the file.
        dt: seconds in one step, for a ``.nir`` file that does not say it; without, times are told
            in seconds, as the file has them.
        allow_nonfinite: accept NaN and infinite parameters.
        verify: check a ``.t1c`` file against its checksums, as of ``ir.read``.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is neither, or is damaged.
        GraphError: its nodes and edges do not make a valid graph.

    Example:
        >>> file_info("model.t1c").parameters  # doctest: +SKIP
        6102
    """
    of_nir, in_steps = nir.is_nir(path), True
    try:
        graph = nir.read_graph(path, dt, allow_nonfinite=allow_nonfinite, verify=verify)
        seconds = _step(graph, dt)
        neurons = dict(_neurons(graph, seconds))
    except nir.ConventionError as error:
        if dt is not None or [problem.field for problem in error.problems] != ["dt"]:
            raise
        found = nir.read_timeless(path, allow_nonfinite=allow_nonfinite)
        graph, seconds, in_steps = found.graph, None, False
        neurons = {name: stated_settings(fields) for name, fields in found.stated.items()}
    sums = None if of_nir else count_checksums(path)
    return FileInfo(
        file=os.fspath(path),
        format="nir" if of_nir else "t1c",
        format_version=nir.read_version(path) if of_nir else ir.read_version(path),
        file_bytes=Path(path).stat().st_size,
        nodes=node_infos(graph),
        edges=len(graph.edges),
        neurons=neurons,
        metadata=graph.metadata,
        dt=seconds,
        in_steps=in_steps,
        checksums=sums,
        verified=verify and sums is not None,
    )


def _step(graph: ir.Graph, dt: float | None) -> float | None:
    """How long a step is, if that is known; notes that look like a record may be anything."""
    try:
        return seconds_in_step(graph, dt)
    except nir.ConventionError:
        return None


def _neurons(
    graph: ir.Graph, dt: float | None, path: str = ""
) -> Iterator[tuple[str, NeuronSettings]]:
    for name, node in graph.nodes.items():
        found = neuron_settings(node, dt)
        if found is not None:
            yield f"{path}{name}", found
        elif isinstance(node, ir.Graph):
            yield from _neurons(node, dt, f"{path}{name}/")


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
