"""What a network takes, and what it does on data."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from t1c import ir, nir
from t1c.ir.errors import InputError, Problem
from t1c.nir import GraphSource

from ..nodes import node_infos
from ..numbers import format_bytes, format_joules, format_number
from ..recordings import is_recording, read_data
from ..report import Facts, Part, Report, Table
from ..runner import STEPS_AT_ONCE, DType, import_torch, piece, pieces
from ..samples import Samples, as_samples
from .activity import ActivityCounter, NodeActivity, sparsity_of, watched
from .costs import seconds_in_step, sent_by
from .energy import FLOAT32_45NM, EnergyEstimate, EnergyTable
from .operations import NodeOperations, OperationsCounter, connection_sparsity
from .silent import SilenceWatch, SilentNode

SATURATED = 0.95
"""A neuron that fires in so large a share of all steps is saturated."""
ITEM_SIZES = {"float32": 4, "float64": 8, "bfloat16": 2}
"""Bytes of a number."""


@dataclass(frozen=True)
class NodeMemory:
    """What one node takes, before anything is run; a nested graph counts with all that it holds.

    Attributes:
        name: in the graph.
        type: the primitive.
        weights: bytes of its arrays as they are stored.
        activations: bytes of what it sends in a step of a sample.
        state: bytes of what it carries from step to step for a sample.
        macs: multiply-accumulates of a step of a sample, done densely.
    """

    name: str
    type: str
    weights: int
    activations: int
    state: int
    macs: int


@dataclass(frozen=True, repr=False, eq=False)
class Measurement(Report):
    """What a network did on data.

    Attributes:
        samples: how many.
        steps: of each.
        batch_size: how many samples at once: whether a layer's inputs are spikes is asked of so
            many together, as NeuroBench does.
        seconds: how long the running and counting took, compiling included.
        dt: seconds in one step; None where nothing says it.
        activity: what the nodes sent that fire or activate.
        operations: the synaptic operations of each node, per sample.
        uncounted: nodes that multiply and add up in a way that is not known.
        activation_sparsity: the share of zeros in all that the nodes of ``activity`` sent.
        dense: synaptic operations per sample with nothing zero, by NeuroBench's definition.
        effective_macs: multiply-accumulates per sample, likewise.
        effective_acs: accumulates per sample, likewise.
        energy: what the operations of a sample take: an estimate.
        explained: why each node of ``silent`` was.
    """

    samples: int
    steps: int
    batch_size: int
    seconds: float
    dt: float | None
    activity: tuple[NodeActivity, ...]
    operations: tuple[NodeOperations, ...]
    uncounted: tuple[str, ...]
    activation_sparsity: float | None
    dense: float
    effective_macs: float
    effective_acs: float
    energy: EnergyEstimate
    explained: tuple[SilentNode, ...] = ()

    @property
    def spikes(self) -> float:
        """Of all neurons per sample."""
        return sum(node.spikes or 0 for node in self.activity) / self.samples

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it: the attributes, and the totals under their names.

        How often each single neuron was active is left out.
        """
        plain = Report.to_dict(replace(self, activity=()))
        activity = [node.to_dict() for node in self.activity]
        totals = {"spikes": self.spikes, "silent": list(self.silent)}
        return {**plain, "activity": activity, **totals}

    def parts(self) -> Sequence[Part]:
        """What it did in all, by neuron and by layer, and how the energy was estimated."""
        return _measured(self)

    @property
    def silent(self) -> tuple[str, ...]:
        """The nodes of which no neuron ever sent anything."""
        return tuple(node.name for node in self.activity if node.dead == node.neurons)


@dataclass(frozen=True, repr=False, eq=False)
class Profile(Report):
    """What a network takes and, if it was given inputs, what it did on them.

    Attributes:
        nodes: what each takes, in the order of the graph.
        dtype: of the arithmetic, which sizes activations and state.
        dt: seconds in one step; None where nothing says it.
        connection_sparsity: the share of weights that are zero, by NeuroBench's definition; None
            where there are none.
        measured: what it did; None without inputs.
    """

    nodes: tuple[NodeMemory, ...]
    dtype: DType
    dt: float | None
    connection_sparsity: float | None
    measured: Measurement | None

    @property
    def weights(self) -> int:
        """Bytes of all arrays, as they are stored."""
        return sum(node.weights for node in self.nodes)

    @property
    def activations(self) -> int:
        """Bytes of what all nodes send in a step of a sample; not all are there at once."""
        return sum(node.activations for node in self.nodes)

    @property
    def state(self) -> int:
        """Bytes of all that is carried from step to step for a sample."""
        return sum(node.state for node in self.nodes)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a step of a sample, done densely, padding included."""
        return sum(node.macs for node in self.nodes)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it: the attributes, and the totals under their names.

        How often each single neuron was active is left out.
        """
        measured = None if self.measured is None else self.measured.to_dict()
        totals = {n: getattr(self, n) for n in ("weights", "activations", "state", "macs")}
        # Without what was measured, of which a copy would be large.
        own = replace(self, measured=None)
        return {**Report.to_dict(own), "measured": measured, **totals}

    def parts(self) -> Sequence[Part]:
        """What it takes, by node; then what it did, by neuron and by layer."""
        sparsity = self.connection_sparsity
        pairs = [
            ("weights", f"{format_bytes(self.weights)} as stored"),
            ("activations", f"{format_bytes(self.activations)} per step and sample, {self.dtype}"),
            ("state", f"{format_bytes(self.state)} per sample, {self.dtype}"),
            ("multiply-accumulates", f"{self.macs:,} per step and sample, done densely"),
            ("connection sparsity", "" if sparsity is None else _share(sparsity)),
        ]
        found: list[Part] = [Facts(tuple((k, v) for k, v in pairs if v), "What it takes")]
        found.append(_memory(self))
        return [*found, *self.measured.parts()] if self.measured is not None else found


def profile_graph(
    source: GraphSource,
    inputs: Any = None,
    *,
    steps: int | None = None,
    dt: float | None = None,
    batch_size: int = 256,
    dtype: DType = "float32",
    energy: EnergyTable = FLOAT32_45NM,
    saturated: float = SATURATED,
    allow_nonfinite: bool = False,
    progress: Callable[[float, int], object] | None = None,
) -> Profile:
    """What a network takes; with inputs, it is run on them, and what it does is measured.

    Synaptic operations and sparsities follow NeuroBench 2.3: see ``t1c.sdk.measure.operations``.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        inputs: what to run it on: numbers (T, N, *shape), or (N, *shape) for what stands still; a
            dict of them by Input name; the path of an ``.npz`` file; or ``Samples``. If None,
            nothing is run, and no torch is needed.
        steps: for how many steps to show what stands still; see ``read_samples``.
        dt: seconds in one step, as of ``analyze_graph``; rates are then told in Hz too.
        batch_size: how many samples at once.
        dtype: of the arithmetic.
        energy: how much an operation takes; ``t1c.sdk.TABLES`` has some, and any may be given.
        saturated: a neuron that fires in this share of all steps or more is saturated.
        allow_nonfinite: accept NaN and infinite numbers in the graph and the inputs.
        progress: called now and then with the samples done (may have a fraction) and their number.

    Raises:
        T1CError: the source or the inputs are not valid, the two do not fit, or torch is missing.
        OSError: there is no such file.

    Example:
        >>> import numpy as np
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)),
        ...      "fc": ir.Affine(np.array([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]]), np.zeros(3)),
        ...      "if": ir.IF(np.array(1.0)),
        ...      "out": ir.Output((3,))},
        ...     [("in", "fc"), ("fc", "if"), ("if", "out")],
        ... )
        >>> spikes = np.array([[[1, 0]], [[1, 1]], [[0, 0]], [[1, 0]]])
        >>> found = profile_graph(graph, spikes).measured
        >>> found.spikes, found.activity[0].dead
        (6.0, 1)
        >>> found.dense, found.effective_macs, found.effective_acs
        (24.0, 0.0, 10.0)
    """
    if batch_size < 1:
        raise InputError(Problem(f"batch_size={batch_size}", "at least 1"))
    if dtype not in get_args(DType):
        raise InputError(Problem(f"dtype={dtype!r}", f"one of {', '.join(get_args(DType))}"))
    if not 0 < saturated <= 1:
        raise InputError(Problem(f"saturated={saturated}", "a share above 0, and 1 at most"))
    graph = nir.read_graph(source, dt, allow_nonfinite=allow_nonfinite)
    seconds, measured = seconds_in_step(graph, dt), None
    if inputs is not None:
        torch = import_torch()
        if isinstance(inputs, str | os.PathLike) and is_recording(inputs):
            inputs = read_data(inputs, graph, steps=steps, dt=dt)
        samples = as_samples(inputs, graph, steps=steps, allow_nonfinite=allow_nonfinite)
        with torch.inference_mode():
            measured = _measure(
                graph, samples, batch_size, dtype, seconds, energy, saturated, progress
            )
    return Profile(
        nodes=_memories(graph, ITEM_SIZES[dtype]),
        dtype=dtype,
        dt=seconds,
        connection_sparsity=connection_sparsity(graph),
        measured=measured,
    )


def _memories(graph: ir.Graph, size: int) -> tuple[NodeMemory, ...]:
    macs = graph.node_macs()
    return tuple(
        NodeMemory(
            name=info.name,
            type=info.type,
            weights=info.bytes,
            activations=_sent(graph.nodes[info.name]) * size,
            state=info.state * size,
            macs=macs[info.name],
        )
        for info in node_infos(graph)
    )


def _sent(node: ir.Node) -> int:
    """Numbers that a node sends; of a nested graph, that all nodes in it send."""
    if isinstance(node, ir.Graph):
        return sum(map(_sent, node.nodes.values()))
    return sent_by(node)


def _measure(
    graph: ir.Graph,
    samples: Samples,
    batch_size: int,
    dtype: DType,
    dt: float | None,
    energy: EnergyTable,
    saturated: float,
    progress: Callable[[float, int], object] | None,
) -> Measurement:
    from t1c import bridge

    precision = getattr(import_torch(), dtype)
    executor = bridge.ir_to_torch(graph, dtype=precision, trainable=False)
    nodes = dict(watched(graph))
    activity, operations = ActivityCounter(nodes), OperationsCounter(graph)
    names = [*activity.names, *operations.names]

    def take(first: int, recorded: Mapping[str, Any]) -> None:
        activity.take(recorded)
        operations.take(recorded)

    def run(
        names: list[str],
        take: Callable[[int, Mapping[str, Any]], None],
        begin: Callable[[int], object] = lambda _: None,
    ) -> None:
        for batch in pieces(samples.count, batch_size):
            state = None
            begin(batch.stop - batch.start)
            for times in pieces(samples.steps, STEPS_AT_ONCE):
                xs = {n: piece(x, times, batch, precision) for n, x in samples.inputs.items()}

                def handed(first: int, _: Any, recorded: Mapping[str, Any], at: int) -> None:
                    take(at + first, recorded)

                # What is recorded is handed on in the engine's own chunks: little is held.
                collect = functools.partial(handed, at=times.start)
                _, state, _ = executor.run(xs, state, record=names, collect=collect)
                if progress is not None:
                    share = times.stop / samples.steps
                    progress(batch.start + share * (batch.stop - batch.start), samples.count)

    begin = time.perf_counter()
    run(names, take, operations.begin)
    found, counts = activity.result(saturated), operations.result()
    silent = {n.name: nodes[n.name] for n in found if n.dead == n.neurons}
    watch = SilenceWatch(silent, samples.steps)
    if silent:
        run(watch.names, watch.take)
    dense, macs, acs = operations.totals()
    return Measurement(
        samples=samples.count,
        steps=samples.steps,
        batch_size=batch_size,
        seconds=time.perf_counter() - begin,
        dt=dt,
        activity=found,
        operations=counts,
        uncounted=tuple(operations.uncounted),
        activation_sparsity=sparsity_of(found),
        dense=dense,
        effective_macs=macs,
        effective_acs=acs,
        energy=EnergyEstimate(
            energy,
            energy.joules(sum(n.macs for n in counts), sum(n.acs for n in counts)),
            energy.joules(sum(n.dense for n in counts)),
        ),
        explained=watch.result(graph),
    )


# What people see -----------------------------------------------------------------------------


def _share(share: float) -> str:
    return f"{100 * share:.4g} %"


def _memory(profile: Profile) -> Table:
    columns = ("node", "type", "weights", "activations", "state", "MACs")
    rows = [
        (n.name, n.type, *_sizes(n.weights, n.activations, n.state, n.macs)) for n in profile.nodes
    ]
    total = _sizes(profile.weights, profile.activations, profile.state, profile.macs)
    return Table(columns, tuple(rows), total=("", "", *total), right=columns[2:])


def _sizes(weights: int, activations: int, state: int, macs: int) -> tuple[str, ...]:
    sizes = (format_bytes(size) if size else "" for size in (weights, activations, state))
    return (*sizes, format_number(macs) if macs else "")


def _measured(measured: Measurement) -> list[Part]:
    sparsity, energy = measured.activation_sparsity, measured.energy
    pairs = [
        ("samples", f"{measured.samples:,} of {measured.steps:,} steps"),
        ("spikes", f"{format_number(measured.spikes, 4)} per sample"),
        ("silent", ", ".join(measured.silent)),
        ("activation sparsity", "" if sparsity is None else _share(sparsity)),
        ("synaptic operations, dense", f"{format_number(measured.dense, 4)} per sample"),
        ("effective MACs", f"{format_number(measured.effective_macs, 4)} per sample"),
        ("effective ACs", f"{format_number(measured.effective_acs, 4)} per sample"),
        ("energy, estimated", f"{format_joules(energy.effective)} per sample"),
        ("energy if dense, estimated", f"{format_joules(energy.dense)} per sample"),
        ("not counted", ", ".join(measured.uncounted)),
    ]
    found: list[Part] = [Facts(tuple((k, v) for k, v in pairs if v), "What it did")]
    if measured.activity:
        found.append(_activity(measured))
    if measured.explained:
        found.append(_silent(measured))
    if measured.operations:
        found.append(_operations(measured))
    table = energy.table
    note = (
        f"Energy is an estimate of the synaptic operations alone, with {table.mac:g} pJ for a MAC "
        f"and {table.ac:g} pJ for an AC ({table.name}; {table.source}): no memory, no neurons."
    )
    return [*found, note]


def _activity(measured: Measurement) -> Table:
    dt = measured.dt
    columns = ["node", "type", "neurons", "spikes", "rate", "Hz", "zeros", "dead", "saturated"]
    if dt is None:
        columns.remove("Hz")
    rows = []
    for node in measured.activity:
        spikes = "" if node.spikes is None else format_number(node.spikes / measured.samples, 4)
        rate = "" if node.rate is None else f"{node.rate:.4g}"
        hertz = "" if node.rate is None or dt is None else f"{node.rate / dt:.4g}"
        rows.append(
            (
                node.name,
                node.type,
                f"{node.neurons:,}",
                spikes,
                rate,
                *([] if dt is None else [hertz]),
                _share(node.sparsity),
                _some(node.dead, node.neurons),
                _some(node.saturated, node.neurons),
            )
        )
    title = "Activity (spikes per sample, rate per neuron and step)"
    return Table(tuple(columns), tuple(rows), title, right=tuple(columns[2:]))


def _silent(measured: Measurement) -> Table:
    rows = tuple(
        (
            node.name,
            node.type,
            "" if node.peak is None else f"{node.peak:.4g}",
            "" if node.threshold is None else f"{node.threshold:.4g}",
            "all zero" if node.input_zero else "not zero",
            node.cause,
            node.remedy,
        )
        for node in measured.explained
    )
    columns = ("node", "type", "peak", "threshold", "input", "likely cause", "what to do")
    return Table(columns, rows, "Silent layers (highest membrane)", right=columns[2:4])


def _some(count: int, total: int) -> str:
    return f"{count:,} ({_share(count / total)})" if count else "0"


def _operations(measured: Measurement) -> Table:
    columns = ("node", "type", "dense", "MACs", "ACs", "effective")
    rows = []
    for node in measured.operations:
        counts = (format_number(n, 4) for n in (node.dense, node.macs, node.acs))
        share = _share((node.macs + node.acs) / node.dense) if node.dense else ""
        kind = f"{node.type} (not in NeuroBench)" if node.beyond else node.type
        rows.append((node.name, kind, *counts, share))
    title = "Synaptic operations per sample"
    return Table(columns, tuple(rows), title, right=columns[2:])
