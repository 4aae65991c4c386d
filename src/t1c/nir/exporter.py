"""From a graph to NIR: what NIR says exactly, and what it cannot say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import NodeError, Problem, UnsupportedError
from t1c.ir.fields import show
from t1c.ir.metadata import Metadata
from t1c.ir.shapes import as_shape

from .adapting import adapted, laid_for
from .conventions import ConventionError, Conventions, checked_dt, checked_word
from .dialects import DIALECTS, Reader
from .firing import unsaid_options
from .losses import Loss, LossReport
from .notes import give_metadata, nir_fields, notes_of
from .primitives import PRIMITIVES
from .raw import NirGraph, NirNode
from .settle import STAMP

PASS_ON = ("Identity", "Skip", "Dropout", "HybridRegion")
"""Nodes that compute x = x (a Skip adds its inputs first, as every NIR node does)."""


INSTEAD = {
    "fires_at": "it with a spike at v > v_threshold",
    "reset": "it with a reset to v_reset (0 where there is none)",
    "reset_delay": "it with the reset in the step of the spike",
    "spikes": "it with one spike at most in a step",
    "v_min": "it with a membrane that may fall below",
    "ceil_mode": "it without the windows that do not fit",
    "count_include_pad": "it with the padding in the mean",
    "initial": "it from zero",
    "hold": "it with a value for every step",
    "final": "it with an answer at every step",
}
"""Option -> what readers run that do not know it."""


def export(
    graph: ir.Graph,
    dt: float | None,
    *,
    lossy: bool,
    dialect: str | None = None,
    for_file: bool = False,
) -> tuple[NirGraph, LossReport]:
    """A graph as NIR's plain values, and what NIR could not say of it.

    Args:
        graph: what to export.
        dt: seconds in one step; None for the recorded one.
        lossy: note in metadata what NIR cannot say.
        dialect: for whose importer; '' and None for any that keeps to NIR.
        for_file: a convolution that had no ``input_shape`` in memory gets one: nir writes and
            reads no file without. A file that had none stays as it was.

    Raises:
        ConventionError: no dt is known, or a word is unknown.
        UnsupportedError: listing all that NIR cannot say, if not ``lossy``, and what it can by no
            means say; or all that the reader would not run as it is meant.
    """
    graph.check()
    if dialect:
        return _for_reader(graph, dt, dialect, lossy, for_file)
    recorded = Conventions.recorded(graph.metadata)
    if recorded is None and dt is None:
        raise ConventionError(
            Problem(
                "no time step is known: NIR counts in seconds and this graph in steps",
                "dt, the seconds in one step",
                "Pass dt, for example dt=1e-4 (--dt 1e-4).",
                field="dt",
            )
        )
    c = recorded or Conventions(dt=checked_dt(dt))
    if dt is not None:
        dt = checked_dt(dt)
        c = dataclasses.replace(c, dt=dt, tau_unit=1.0 if c.tau_unit == 1 else 1 / dt)
    exporter = _Exporter(c, lossy, for_file and "version" not in notes_of(graph))
    raw = exporter.graph(graph, "")
    if exporter.problems:
        raise UnsupportedError(exporter.problems, "NIR cannot say all of this graph")
    if recorded is None or STAMP in raw.metadata:
        raw.metadata[STAMP] = {**raw.metadata.get(STAMP, {}), "dt": c.dt}
    return raw, LossReport(tuple(exporter.losses))


def _for_reader(
    graph: ir.Graph, dt: float | None, name: str, lossy: bool, for_file: bool
) -> tuple[NirGraph, LossReport]:
    """A graph as a named reader runs it with the same spikes."""
    dialect = DIALECTS[checked_word("dialect", name, tuple(DIALECTS))]
    reader = dialect.reader
    if lossy:
        raise ConventionError(
            Problem(
                f"lossy=True beside dialect={name!r}",
                "one of them: nothing may be lost of what a reader is to run",
                "Leave lossy out.",
                field="lossy",
            )
        )
    step = reader.dt if dt is None else checked_dt(dt)
    if step != reader.dt and not reader.any_dt:
        raise ConventionError(
            Problem(
                f"{step:g}: the importer of {name!r} takes no dt",
                f"{reader.dt:g}, which it has built in",
                "Leave dt out.",
                field="dt",
            )
        )
    made, changes = adapted(graph, dialect)
    c = reader.conventions(name, step)
    exporter = _Exporter(c, False, for_file)
    raw = exporter.graph(made, "")
    if exporter.problems:
        raise UnsupportedError(exporter.problems, "NIR cannot say all of this graph")
    for node, found in made.nodes.items():
        laid_for(reader, step, found, raw.nodes[node])
    raw.metadata[STAMP] = {**raw.metadata.get(STAMP, {}), "dt": step, "reader": name}
    read = "nir.read(path, type_check=False)" if _mistyped(made, reader) else "nir.read(path)"
    call = reader.call.format(dt=f"{step:g}", read=read)
    return raw, LossReport((), changes, call, reader.remarks)


def _mistyped(graph: ir.Graph, reader: Reader) -> bool:
    """Whether the type check of nir 1.0.8 takes the shapes of a sound graph for wrong.

    It does so with groups and with kernels that are not square; and where parameters on feature
    maps are per channel, which it takes for the shape of the map.
    """

    def wrong(node: ir.Node) -> bool:
        if isinstance(node, ir.Conv1d | ir.Conv2d):
            return node.groups != 1 or len(set(node.weight.shape[2:])) > 1
        on_maps = len(as_shape((node.input_type or {}).get("input")) or ()) > 1
        return reader.per_channel and node.primitive in reader.neurons and on_maps

    return any(map(wrong, graph.nodes.values()))


class _Exporter:
    def __init__(self, c: Conventions, lossy: bool, complete: bool) -> None:
        self.c, self.lossy, self.complete = c, lossy, complete
        self.problems: list[Problem] = []
        self.losses: list[Loss] = []

    def graph(self, graph: ir.Graph, where: str) -> NirGraph:
        nodes: dict[str, NirNode | NirGraph] = {}
        # What the importer added is taken away again, unless it has come to say something.
        added = {
            name
            for name, node in graph.nodes.items()
            if notes_of(node).get("added") and not _unsaid_field(node, _LATER[node.primitive])
        }
        for name, node in graph.nodes.items():
            place = f"node {name!r} ({node.primitive})"
            spot = f"{where} > {place}" if where else place
            if isinstance(node, ir.Graph):
                nodes[name] = self.graph(node, spot)
            elif name not in added:
                made = self._node(node, spot)
                if made is not None:
                    nodes[name] = made
        edges = [e for e in graph.edges if not added & set(e)]
        metadata = give_metadata(graph)
        stamp = self._graph_stamp(graph)
        if stamp:
            metadata[STAMP] = stamp
        return NirGraph(nodes, edges, metadata)

    def _graph_stamp(self, graph: ir.Graph) -> Metadata:
        stamp = dict(notes_of(graph).get("stamp") or {})
        if graph.feedback and (stamp or not notes_of(graph)):
            stamp["feedback_from"] = [a for a, _ in graph.feedback]
            stamp["feedback_to"] = [b for _, b in graph.feedback]
        return stamp

    def _node(self, node: ir.Node, where: str) -> NirNode | None:
        """The NIR node, with a stamp in its metadata of all that it does not say."""
        stamped = bool(notes_of(node).get("stamp"))
        made: NirNode | None
        try:
            if node.primitive in PRIMITIVES:
                made, stamp = self._told(node, where, stamped)
            elif node.primitive == "SpikingAffine":
                made, stamp = _spiking_affine(node)
            else:
                made, stamp = self._stand_in(node, where, stamped)
        except NodeError as error:
            self.problems += [dataclasses.replace(p, where=where) for p in error.problems]
            return None
        if made is not None:
            made.metadata = give_metadata(node)
            if stamp:
                made.metadata[STAMP] = stamp
        return made

    def _told(self, node: ir.Node, where: str, stamped: bool) -> tuple[NirNode, Metadata]:
        """A node that NIR has; only its options may be more than NIR can say."""
        unsaid: dict[str, Any] = {}
        if PRIMITIVES[node.primitive].fires:
            unsaid = unsaid_options(node, self.c)
        elif node.primitive == "AvgPool2d":
            unsaid = _unsaid_pooling(node)
        elif node.primitive in _LATER:
            unsaid = _unsaid_field(node, _LATER[node.primitive])
        fields = nir_fields(node, self.c, complete=self.complete)
        for name, value in unsaid.items():
            if name == "v_reset" or _harmless(node, name):
                continue
            if not stamped:
                said = f"{name}={show(value)}"
                self._lose(Loss(where, said, INSTEAD[name]), name)
        noted = {**self._exact(node), **({"fields": unsaid} if unsaid else {})}
        return NirNode(node.primitive, fields), noted

    def _exact(self, node: ir.Node) -> Metadata:
        """What was noted of a node that a reader's file holds, where it is still so."""
        stamp = notes_of(node).get("stamp")
        if not isinstance(stamp, Mapping):
            return {}
        same = dict(stamp["at"]) == {"dt": self.c.dt, "integrator": self.c.integrator}
        for name, value in stamp["fields"].items():
            now = getattr(node, name, None)
            same = same and now is not None and np.array_equal(now, value)
        return dict(stamp) if same else {}

    def _stand_in(
        self, node: ir.Node, where: str, stamped: bool
    ) -> tuple[NirNode | None, Metadata]:
        """A node that NIR has not, as a Scale by 1 that carries it in its metadata."""
        shape = as_shape((node.input_type or {}).get("input")) or ()
        ports = [as_shape(s) for s in (node.output_type or {}).values()]
        if not node.adds_inputs or ports != [shape]:
            why = "no node of its shapes" if node.adds_inputs else "adds all that leads to a node"
            self.problems.append(
                Problem(
                    f"NIR has no {node.primitive}, and {why}",
                    f"one of {', '.join(PRIMITIVES)}",
                    "Replace the node; lossy=True cannot keep it either.",
                    where,
                )
            )
            return None, {}
        if node.primitive not in PASS_ON and not stamped:
            self._lose(Loss(where, f"NIR has no {node.primitive}", "a Scale by 1"))
        values = {k: v for k, v in node.values().items() if v is not None}
        return (
            NirNode("Scale", {"scale": np.ones(shape, np.float32)}),
            {"type": node.primitive, "fields": {k: _noted(v) for k, v in values.items()}},
        )

    def _lose(self, loss: Loss, field: str = "") -> None:
        if self.lossy:
            self.losses.append(loss)
            return
        self.problems.append(
            Problem(
                f"{loss.lost}, which NIR cannot say" if field else loss.lost,
                "" if field else f"one of {', '.join(PRIMITIVES)}",
                "Change it, or pass lossy=True: it is then kept in metadata, where t1c finds it, "
                f"and other readers will run {loss.instead}.",
                loss.where,
                field,
            )
        )


def _spiking_affine(node: Any) -> tuple[NirNode, Metadata]:
    """An Affine; the hints for hardware change no result."""
    hints = ("spike_mode", "weight_bits", "accumulator_bits")
    return NirNode("Affine", {"weight": node.weight, "bias": node.bias}), {
        "type": "SpikingAffine",
        "adds": True,
        "fields": {name: getattr(node, name) for name in hints},
    }


_LATER = {"Delay": "initial", "Input": "hold", "Output": "final"}
"""Primitive that NIR has -> its field that NIR has not."""


def _unsaid_field(node: ir.Node, name: str) -> dict[str, Any]:
    """The field, where it says more than its default."""
    value = getattr(node, name)
    return {name: value} if np.any(value != type(node).defaults()[name]) else {}


def _unsaid_pooling(node: Any) -> dict[str, Any]:
    """NIR's AvgPool2d divides by the whole kernel and drops what does not fill a window."""
    unsaid = {}
    if node.ceil_mode:
        unsaid["ceil_mode"] = True
    if not node.count_include_pad:
        unsaid["count_include_pad"] = False
    return unsaid


def _harmless(node: Any, name: str) -> bool:
    return name == "count_include_pad" and node.padding == (0, 0)


def _noted(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
