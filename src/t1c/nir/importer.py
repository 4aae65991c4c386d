"""From NIR to a graph: every node converted, every problem collected."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import GraphError, NodeError, Problem, T1CError
from t1c.ir.fields import show
from t1c.ir.guess import did_you_mean
from t1c.ir.metadata import Metadata
from t1c.ir.shapes import as_shape
from t1c.ir.topology import Edge, Topology

from .conventions import KEY, Conventions
from .firing import firing_options
from .notes import keep_metadata, take_notes
from .primitives import PRIMITIVES
from .raw import NirGraph, NirNode
from .settle import STAMP
from .shapes import arriving_shapes, own_rank
from .suspicion import reset_by_subtraction

Problems = list[Problem]


class Importer:
    """Makes a graph of a NIR graph by one set of conventions.

    Args:
        c: the conventions.
        overridden: the caller named a reset, which then wins over what t1c noted in the file.
        allow_nonfinite: accept NaN and infinite parameters.
    """

    def __init__(self, c: Conventions, *, overridden: bool, allow_nonfinite: bool) -> None:
        self.c = c
        self.overridden = overridden
        self.allow_nonfinite = allow_nonfinite
        self.problems: Problems = []
        self.remarks: list[str] = list(c.remarks)

    def run(self, raw: NirGraph, feedback: Iterable[Edge]) -> ir.Graph:
        """The graph, with the conventions in its metadata.

        Raises:
            GraphError: listing everything that is wrong.
        """
        graph = self._graph(raw, "", list(feedback))
        if graph is None or self.problems:
            raise GraphError(self.problems, "the NIR graph cannot be imported")
        if not self.c.reset and reset_by_subtraction(raw):
            self.remarks.append(
                f"The file is of NIR {raw.version or '0.1'}, whose neurons reset by subtraction. A "
                "missing v_reset is read as 0, as nir does now; pass reset='subtract' for what was "
                "meant then."
            )
        record = dataclasses.replace(self.c, remarks=tuple(self.remarks)).record()
        if raw.version:
            record["version"] = raw.version
        graph.metadata[KEY] = {**record, **graph.metadata.get(KEY, {})}
        return graph

    def _graph(self, raw: NirGraph, where: str, feedback: list[Edge]) -> ir.Graph | None:
        before = len(self.problems)
        metadata, stamp = self._metadata(raw.metadata, where or "the graph")
        nodes: dict[str, ir.Node] = {}
        for name, node in raw.nodes.items():
            made: ir.Node | None
            if isinstance(node, NirGraph):
                place = f"node {name!r} (NIRGraph)"
                made = self._graph(node, f"{where} > {place}" if where else place, [])
            else:
                place = f"node {name!r} ({node.type})"
                made = self._node(node, f"{where} > {place}" if where else place)
            if made is not None:
                nodes[name] = made
        if len(self.problems) > before:
            return None
        edges = list(raw.edges)
        self._add_borders(nodes, edges)
        self._trim_inputs(nodes, edges, raw)
        if stamp and not feedback:
            feedback = list(
                zip(stamp.get("feedback_from", ()), stamp.get("feedback_to", ()), strict=False)
            )
        graph = self._assemble(nodes, edges, metadata, feedback, where)
        if graph is not None:
            for name, node in raw.nodes.items():
                if isinstance(node, NirNode):
                    self._note(graph.nodes[name], node)
        return graph

    def _assemble(
        self,
        nodes: dict[str, ir.Node],
        edges: list[Edge],
        metadata: Metadata,
        feedback: list[Edge],
        where: str,
    ) -> ir.Graph | None:
        sound = _between(nodes, edges)
        cyclic = bool(Topology(nodes, sound).loops())

        def build(parts: dict[str, ir.Node]) -> ir.Graph:
            return ir.Graph(
                parts,
                edges,
                metadata,
                cyclic,
                feedback=feedback,
                allow_nonfinite=self.allow_nonfinite,
            )

        try:
            try:
                return build(nodes)
            except GraphError:
                mended = self._mend_outputs(nodes, sound)
                if mended == nodes:
                    raise
            return build(mended)
        except GraphError as error:
            self.problems += [p.at(where) if where else p for p in error.problems]
            return None

    # Nodes

    def _node(self, raw: NirNode, where: str) -> ir.Node | None:
        entry = PRIMITIVES.get(raw.type)
        if entry is None:
            self.problems.append(_unknown(raw.type, where))
            return None
        before = len(self.problems)
        metadata, stamp = self._metadata(raw.metadata, where)
        values: dict[str, Any] = {}
        for field in entry.fields:
            with _Placed(self.problems, where):
                values[field.name] = field.take(raw.fields, self.c, raw.type)
        allowed = {field.name for field in entry.fields} | {entry.shape}
        if entry.fires:
            allowed |= {"v_reset"} if raw.type != "Threshold" else set()
            with _Placed(self.problems, where):
                values |= firing_options(raw.type, raw.fields, self.c)
        if entry.shape == "shape":
            with _Placed(self.problems, where):
                values |= _border(raw)
        for name in raw.fields:
            if name not in allowed:
                self.problems.append(
                    Problem(
                        f"unknown field {name!r}",
                        f"only {', '.join(sorted(allowed - {''})) or 'none'}",
                        "What it means cannot be known; export without it.",
                        where,
                    )
                )
        if len(self.problems) > before:
            return None
        with _Placed(self.problems, where):
            return self._made(entry.cls, values, metadata, stamp)
        return None

    def _made(
        self, cls: type[ir.Node], values: dict[str, Any], metadata: Metadata, stamp: Metadata
    ) -> ir.Node:
        if not stamp:
            return cls(**values, metadata=metadata)
        noted = dict(stamp.get("fields", {}))
        kept: Any = True
        if "at" in stamp:
            # What a reader's file cannot say to the last bit; at another step it is another decay.
            same = dict(stamp["at"]) == {"dt": self.c.dt, "integrator": self.c.integrator}
            kept, noted = (stamp, noted) if same else (True, {})
        metadata = {**metadata, KEY: {**metadata.get(KEY, {}), "stamp": kept}}
        if stamp.get("type", cls.__name__) != cls.__name__:
            kept = values if stamp.get("adds") else {}
            return ir.str_to_node(stamp["type"])(**kept, **noted, metadata=metadata)
        if self.overridden:
            noted = {n: v for n, v in noted.items() if n not in ("reset", "v_reset", "reset_delay")}
        return cls(**{**values, **noted}, metadata=metadata)

    def _metadata(self, given: Mapping[str, Any], where: str) -> tuple[Metadata, Metadata]:
        """The metadata of a node, with notes if any, and the stamp of t1c's own export."""
        given = dict(given)
        stamp = given.pop(STAMP) if isinstance(given.get(STAMP), Mapping) else {}
        metadata: Metadata = {}
        with _Placed(self.problems, where):
            if KEY in given:
                raise NodeError(
                    Problem(
                        f"an entry {KEY!r}",
                        "another name: t1c keeps there what NIR needs again",
                        "Rename the entry.",
                        field="metadata",
                    )
                )
            metadata, lost = keep_metadata(given)
            notes = {**({"metadata": lost} if lost else {}), **({"stamp": stamp} if stamp else {})}
            if notes:
                metadata[KEY] = notes
        return metadata, stamp

    def _note(self, node: ir.Node, raw: NirNode) -> None:
        if node.primitive != raw.type:  # restored from t1c's own notes
            return
        notes = {**node.metadata.get(KEY, {}), **take_notes(node, raw, self.c)}
        if notes:
            node.metadata[KEY] = notes

    # Inputs and Outputs

    def _add_borders(self, nodes: dict[str, ir.Node], edges: list[Edge]) -> None:
        """Versions before 0.2 had no need of Inputs and Outputs; NIR now adds them as here."""
        added = {KEY: {"added": True}}
        fed, leading = {b for _, b in edges}, {a for a, _ in edges}
        if not any(isinstance(node, ir.Input) for node in nodes.values()):
            for name in [n for n in nodes if n not in fed]:
                shape = (nodes[name].input_type or {}).get("input")
                if shape is not None:
                    border = _unused(f"input_{name}", nodes)
                    nodes[border] = ir.Input(as_shape(shape) or (), metadata=added)
                    edges.append((border, name))
        if not any(isinstance(node, ir.Output) for node in nodes.values()):
            ends = [n for n in nodes if n not in leading and not isinstance(nodes[n], ir.Input)]
            shapes = arriving_shapes(nodes, _between(nodes, edges))
            for name in ends:
                if name in shapes:
                    border = _unused(f"output_{name}", nodes)
                    nodes[border] = ir.Output(shapes[name], metadata=added)
                    edges.append((name, border))

    def _trim_inputs(self, nodes: dict[str, ir.Node], edges: list[Edge], raw: NirGraph) -> None:
        """Drop batch and time from Inputs, where the dialect leaves them in."""
        for name, node in list(nodes.items()):
            if not isinstance(node, ir.Input):
                continue
            fed = [own_rank(raw.nodes.get(b)) for a, b in edges if a == name]
            ranks = {rank for rank in fed if rank is not None}
            extra = len(node.shape) - ranks.pop() if len(ranks) == 1 else 0
            if 0 < extra <= self.c.leading:
                nodes[name] = node.replace(shape=node.shape[extra:])
                self.remarks.append(
                    f"Input {name!r} has the shape {node.shape}; its first {extra} dimensions "
                    "(batch, time) were dropped."
                )

    def _mend_outputs(self, nodes: dict[str, ir.Node], edges: list[Edge]) -> dict[str, ir.Node]:
        """The nodes, with Outputs of the shapes that arrive at them.

        What an Output declares changes no result, and exporters get it wrong: nir itself for
        kernels that are not square, others by counting time or batch.
        """
        sent = arriving_shapes(nodes, edges)
        mended = dict(nodes)
        for name, node in nodes.items():
            shapes = {sent[a] for a, b in edges if b == name and a in sent}
            if isinstance(node, ir.Output) and len(shapes) == 1 and {node.shape} != shapes:
                (shape,) = shapes
                mended[name] = node.replace(shape=shape)
                self.remarks.append(
                    f"Output {name!r} declares the shape {node.shape}; {shape} arrives there and "
                    "was taken."
                )
        return mended


class _Placed:
    """Collects the problems of one node, each with its place."""

    def __init__(self, problems: Problems, where: str) -> None:
        self.problems, self.where = problems, where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, T1CError):
            return False
        for problem in error.problems:
            placed = dataclasses.replace(problem, where=self.where)
            # A weight needs its time constant, whose fault it then repeats.
            if placed not in self.problems:
                self.problems.append(placed)
        return True


def _between(nodes: Mapping[str, ir.Node], edges: Iterable[Edge]) -> list[Edge]:
    """The edges whose ends exist; the graph will name the others."""
    return [(a, b) for a, b in edges if a in nodes and b in nodes]


def _unused(name: str, nodes: Mapping[str, ir.Node]) -> str:
    while name in nodes:
        name += "_"
    return name


def _border(raw: NirNode) -> dict[str, Any]:
    shape = raw.fields.get("shape")
    if shape is None:
        raise NodeError(Problem("it is missing", "integers of at least 1", field="shape"))
    array = np.asarray(shape)
    # NIR 0.1 wrote a single number for a vector.
    return {"shape": tuple(array.tolist()) if array.ndim == 1 else shape}


def _unknown(kind: str, where: str) -> Problem:
    known = [*PRIMITIVES, "NIRGraph"]
    return Problem(
        f"unknown NIR type {show(kind)}",
        f"one of {', '.join(known)}",
        did_you_mean(kind, known, "Export without it.", written=str),
        where,
        "type",
    )
