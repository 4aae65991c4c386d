"""What became of a graph in integers: errors, saturation and agreement, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.integers import KEY
from t1c.ir.primitives.neuron import parameter_shape
from t1c.nir import GraphSource, read_graph

from ..measure.neurons import fires
from ..numbers import format_bytes, format_number
from ..report import Facts, Part, Report, Table
from ..runner import import_bridge, import_torch
from ..samples import as_samples
from .builder import SUM
from .calibrate import AT_ONCE, PLAIN
from .prepare import plain
from .sizes import layer_bytes, parameter_bytes, weight_bits_of

SATURATING = (SUM, "kept", "current_kept", "narrow", "clipped")
"""What the Clips are called at which numbers that get too large are cut off."""


@dataclass(frozen=True)
class QuantizedNode:
    """What became of one node.

    Attributes:
        name: of the node, in both graphs.
        type: the primitive that it was.
        bits: of its weights, or of the state of a neuron; None for others.
        unit: the least and the greatest real number that one of its integers stands for.
        error: of numbers with a unit, the root mean square of how far they are off, as a share of
            the root mean square of what they should be; None of spikes.
        agreement: of spikes, the share of neurons and steps in which both sent the same; None of
            other numbers.
        spikes: how many it sent before, and in integers.
        saturated: how many numbers were cut off at a bound, its sums and states together.
        bytes: what its numbers take, before and in integers; weights are packed.
    """

    name: str
    type: str
    bits: int | None
    unit: tuple[float, float]
    error: float | None
    agreement: float | None
    spikes: tuple[float, float] | None
    saturated: int
    bytes: tuple[int, int]


@dataclass(frozen=True, repr=False)
class QuantizationReport(Report):
    """What became of a graph in integers, on the inputs that it was shown.

    Attributes:
        samples, steps: on how many, and for how many steps, both were run.
        dtype: in which the integers were run; all of them are exact in it.
        nodes: what became of each.
        outputs: Output name -> the share of its numbers that are equal, all steps together.
        answers: Output name -> the share of samples for which the sum over time is largest in the
            same place, of outputs that are vectors.
        bytes: what all numbers take, before and in integers.
    """

    samples: int
    steps: int
    dtype: str
    nodes: tuple[QuantizedNode, ...]
    outputs: dict[str, float] = field(default_factory=dict)
    answers: dict[str, float] = field(default_factory=dict)
    bytes: tuple[int, int] = (0, 0)

    @property
    def saturated(self) -> int:
        """How many numbers were cut off in all."""
        return sum(node.saturated for node in self.nodes)

    def parts(self) -> Sequence[Part]:
        """What was run, and a row for each node."""
        before, after = self.bytes
        facts = [
            ("run on", f"{self.samples:,} samples, {self.steps:,} steps, in {self.dtype}, exactly"),
            ("numbers", f"{format_bytes(before)}, in integers {format_bytes(after)}"),
            ("saturated", f"{self.saturated:,}"),
        ]
        for name, share in self.outputs.items():
            same = self.answers.get(name)
            text = f"{100 * share:.2f} % of numbers equal"
            answer = "" if same is None else f", {100 * same:.2f} % of answers"
            facts.append((f"output {name}", text + answer))
        numbers = ("bits", "unit", "error", "same spikes", "spikes", "saturated", "bytes")
        rows = tuple(_row(node) for node in self.nodes)
        return [Facts(tuple(facts)), Table(("node", "was", *numbers), rows, right=numbers)]


def _row(n: QuantizedNode) -> tuple[str, ...]:
    low, high = (format_number(unit, 3) for unit in n.unit)
    return (
        n.name,
        n.type,
        "" if n.bits is None else str(n.bits),
        low if low == high else f"{low} to {high}",
        "" if n.error is None else f"{100 * n.error:.2f} %",
        "" if n.agreement is None else f"{100 * n.agreement:.2f} %",
        "" if n.spikes is None else f"{n.spikes[0]:,.0f}, {n.spikes[1]:,.0f}",
        f"{n.saturated:,}" if n.saturated else "",
        f"{format_bytes(n.bytes[0])}, {format_bytes(n.bytes[1])}" if any(n.bytes) else "",
    )


def quantization_report(
    source: GraphSource,
    quantized: GraphSource,
    inputs: Any,
    *,
    steps: int | None = None,
    dt: float | None = None,
) -> QuantizationReport:
    """Run a graph and what became of it in integers, and say how far they are apart, and where.

    Nodes of the same name are compared, their integers times their unit with the real numbers. A
    layer that took in a batch norm is compared with the norm.

    Args:
        source: the graph of real numbers, or a path.
        quantized: what ``quantize`` made of it, or a path.
        inputs: samples, as of ``as_samples``.
        steps: for how many steps to show what stands still.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        UnsupportedError: the second is not a graph of integers, or torch is missing.
        InputError: the samples do not fit.

    Example:
        >>> report = quantization_report("digits.t1c", small, "test.npz")  # doctest: +SKIP
        >>> report.saturated  # doctest: +SKIP
        0
    """
    real, whole = plain(read_graph(source, dt)), read_graph(quantized)
    return _Comparison(real, whole).run(inputs, steps)


class _Comparison:
    """Two graphs, run side by side, a few samples at a time."""

    def __init__(self, real: ir.Graph, whole: ir.Graph) -> None:
        self.torch, bridge = import_torch(), import_bridge()
        self.real, self.whole = real, whole
        self.first = bridge.ir_to_torch(real, trainable=False, kernels=PLAIN)
        self.second = bridge.ir_to_torch(whole, trainable=False, quantized=True, kernels=PLAIN)
        flat = whole.flat()
        self.clips: dict[str, ir.Clip] = {
            name: node
            for name, node in flat.nodes.items()
            if isinstance(node, ir.Clip) and re.split("[./]", name)[-1] in SATURATING
        }
        self.state_bits = int(whole.metadata[KEY]["state_bits"])
        self.dtype = next((p.dtype for p in self.second.parameters()), self.torch.float32)
        self.pairs = dict(self._pairs())
        self.totals: dict[str, Array] = {name: np.zeros(6) for name in self.pairs}
        self.cut = dict.fromkeys(self.clips, 0)
        self.equal: dict[str, list[int]] = {name: [0, 0] for name in real.outputs()}
        self.answers: dict[str, list[int]] = {}

    def _pairs(self) -> Any:
        """Name in integers -> (name in real numbers, unit), of what is compared."""
        after = self.real.topology().after
        for name, node in self.whole.nodes.items():
            if name not in self.real.nodes or isinstance(node, ir.Input | ir.Output):
                continue
            note = node.metadata.get(KEY)
            old = self.real.nodes[name]
            if old.port_count > 1 or not (isinstance(note, Mapping) or fires(old)):
                continue
            folded = node.metadata.get("folded")
            norm = folded.get("batchnorm") if isinstance(folded, Mapping) else None
            there = next((n for n in after[name] if norm and n.endswith(str(norm))), name)
            unit = 1.0 if fires(old) or not isinstance(note, Mapping) else note["unit"]
            yield name, (there, np.asarray(unit, np.float64))

    def run(self, inputs: Any, steps: int | None) -> QuantizationReport:
        """The report on some samples."""
        samples = as_samples(inputs, self.real, steps=steps)
        olds = list(dict.fromkeys(there for there, _ in self.pairs.values()))
        news = [*self.pairs, *(f"{name}.input" for name in self.clips)]
        with self.torch.no_grad():
            for begin in range(0, samples.count, AT_ONCE):
                xs = {
                    n: self.torch.from_numpy(np.array(x[:, begin : begin + AT_ONCE], np.float32))
                    for n, x in samples.inputs.items()
                }
                y, _, before = self.first.run(xs, record=olds, collect="stack")
                z, _, after = self.second.run(
                    {n: x.to(self.dtype) for n, x in xs.items()}, record=news, collect="stack"
                )
                self._take(before, after)
                self._answers(self._named(y), self._named(z))
        return QuantizationReport(
            samples.count,
            samples.steps,
            str(self.dtype).removeprefix("torch."),
            tuple(self._one(name) for name in self.pairs),
            {name: equal / all_ for name, (equal, all_) in self.equal.items()},
            {name: equal / all_ for name, (equal, all_) in self.answers.items()},
            (_bytes(self.real), _bytes(self.whole)),
        )

    def _named(self, y: Any) -> dict[str, Array]:
        outputs = self.real.outputs()
        given = y if isinstance(y, Mapping) else {next(iter(outputs)): y}
        return {name: value.double().numpy() for name, value in given.items()}

    def _take(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        for name, (there, unit) in self.pairs.items():
            a = before[there].double().numpy()
            q = after[name].double().numpy()
            b = q * unit.reshape(parameter_shape(unit.shape, q.shape[2:]))
            off = ((a - b) ** 2).sum(), (a**2).sum(), (a == b).sum(), a.size, a.sum(), b.sum()
            self.totals[name] += off
        for name, node in self.clips.items():
            x = after[f"{name}.input"].double().numpy()
            for bound, beyond in ((node.low, np.less), (node.high, np.greater)):
                if bound is not None:
                    laid = bound.reshape(parameter_shape(bound.shape, x.shape[2:]))
                    if name.endswith("kept") and beyond is np.less:
                        # A membrane that is held at v_min does what it should.
                        laid = np.where(laid > -(2.0 ** (self.state_bits - 1)), -np.inf, laid)
                    self.cut[name] += int(beyond(x, laid).sum())

    def _answers(self, before: Mapping[str, Array], after: Mapping[str, Array]) -> None:
        for name, a in before.items():
            b = after[name]
            self.equal[name][0] += int((a == b).sum())
            self.equal[name][1] += a.size
            if a.ndim == 3 and a.shape[2] > 1:
                same = a.sum(0).argmax(1) == b.sum(0).argmax(1)
                count = self.answers.setdefault(name, [0, 0])
                count[0] += int(same.sum())
                count[1] += len(same)

    def _one(self, name: str) -> QuantizedNode:
        node, old = self.whole.nodes[name], self.real.nodes[name]
        off, total, same, count, a, b = self.totals[name]
        spiking = fires(old)
        note: Any = node.metadata.get(KEY) or {}
        unit = np.asarray(note.get("unit", 1.0), np.float64)
        owned = (f"{name}/", f"{name}.")
        bits = note.get("weight_bits", note.get("state_bits"))
        layer = weight_bits_of(node) is not None
        accumulator = int(self.whole.metadata[KEY]["accumulator_bits"])
        return QuantizedNode(
            name=name,
            type=old.primitive,
            bits=bits,
            unit=(float(unit.min()), float(unit.max())),
            error=None if spiking else float(np.sqrt(off / total)) if total else 0.0,
            agreement=float(same / count) if spiking else None,
            spikes=(float(a), float(b)) if spiking else None,
            saturated=sum(n for clip, n in self.cut.items() if clip.startswith(owned)),
            bytes=(
                parameter_bytes(old),
                layer_bytes(node, accumulator) if layer else parameter_bytes(node),
            ),
        )


def _bytes(graph: ir.Graph) -> int:
    note: Any = graph.metadata.get(KEY) or {}
    accumulator = int(note.get("accumulator_bits", 32))
    return sum(
        layer_bytes(node, accumulator)
        if weight_bits_of(node) is not None
        else parameter_bytes(node)
        for node in graph.nodes.values()
    )
