"""Why layers are silent: how near their membranes came to the threshold, and what reached them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.primitives.neuron import SpikingNeuron, parameter_shape
from t1c.ir.topology import Topology

if TYPE_CHECKING:
    import torch

Reason = Literal["no input", "driven down", "below threshold", "not finite", "not positive"]

LOW_GAIN = 0.5
"""A neuron that takes in less than this share of its input is said to scale it down."""

NEAR = 0.5
"""A membrane that still rises is said to need more steps if it has come so far."""
MOST = 3
"""So many names are listed in a cause."""


@dataclass(frozen=True)
class SilentNode:
    """Why one node never sent anything.

    Attributes:
        name: of the node; ``graph/node`` of one in a nested graph.
        type: the primitive.
        input_zero: all that reached it was zero, in all steps of all samples.
        peak: the highest membrane, of the neuron that came nearest to its threshold; of a
            Threshold, ReLU or Sigmoid its highest input. None of a neuron that is a graph, whose
            membrane nobody knows.
        threshold: of that neuron; 0 of a ReLU.
        rising: that membrane was at its highest at the last step.
        reason: 'no input'; 'driven down': the membrane never rose above rest; 'below threshold':
            it rose, but not enough; 'not finite': it is NaN; 'not positive', of a ReLU: its input
            was never above 0.
        cause: the reason in words, with its numbers.
        remedy: what is likely to help.
    """

    name: str
    type: str
    input_zero: bool
    peak: float | None
    threshold: float | None
    rising: bool
    reason: Reason
    cause: str
    remedy: str


class SilenceWatch:
    """Takes what reached silent nodes and what their membranes did, piece by piece.

    Args:
        nodes: the silent ones by name.
        steps: of each sample.
    """

    def __init__(self, nodes: Mapping[str, ir.Node], steps: int) -> None:
        self._nodes, self._steps = dict(nodes), steps
        self._membranes = {
            name: f"{name}.v" if isinstance(node, SpikingNeuron) else f"{name}.input"
            for name, node in nodes.items()
            if not isinstance(node, ir.Graph)
        }
        self._inputs = {
            name: [f"{name}/{inner}" for inner in node.inputs()]
            if isinstance(node, ir.Graph)
            else [f"{name}.input"]
            for name, node in nodes.items()
        }
        self._peaks: dict[str, Array] = {}
        self._last: dict[str, Array] = {}
        self._driven: set[str] = set()

    @property
    def names(self) -> list[str]:
        """What has to be recorded."""
        inputs = [key for keys in self._inputs.values() for key in keys]
        return list(dict.fromkeys([*inputs, *self._membranes.values()]))

    def take(self, first: int, recorded: Mapping[str, torch.Tensor]) -> None:
        """What was recorded from step ``first`` on, of some samples, (T, B, *shape)."""
        for name, keys in self._inputs.items():
            if any(bool((recorded[key] != 0).any()) for key in keys):
                self._driven.add(name)
        for name, key in self._membranes.items():
            v = recorded[key].double()
            self._peaks[name] = _most(self._peaks.get(name), v.amax((0, 1)).numpy())
            if first + len(v) == self._steps:
                self._last[name] = _most(self._last.get(name), v[-1].amax(0).numpy())

    def result(self, graph: ir.Graph) -> tuple[SilentNode, ...]:
        """Why each of them was silent."""
        upstream = _Upstream(graph)
        return tuple(self._one(upstream, name, node) for name, node in self._nodes.items())

    def _one(self, upstream: _Upstream, name: str, node: ir.Node) -> SilentNode:
        peak = threshold = None
        rising = False
        if name in self._peaks:
            peaks = self._peaks[name]
            limits = np.broadcast_to(_thresholds(node, peaks.shape), peaks.shape)
            near = np.unravel_index(
                int(np.nan_to_num(peaks - limits, nan=np.inf).argmax()), peaks.shape
            )
            peak, threshold = float(peaks[near]), float(limits[near])
            remembers = isinstance(node, SpikingNeuron) and self._steps > 1
            rising = remembers and bool(self._last[name][near] == peaks[near])
        reason, cause, remedy = self._why(upstream, name, node, peak, threshold, rising)
        zero = name not in self._driven
        return SilentNode(
            name, node.primitive, zero, peak, threshold, rising, reason, cause, remedy
        )

    def _why(
        self,
        upstream: _Upstream,
        name: str,
        node: ir.Node,
        peak: float | None,
        threshold: float | None,
        rising: bool,
    ) -> tuple[Reason, str, str]:
        if name not in self._driven:
            return ("no input", *_nothing_arrives(upstream, name, self._nodes))
        if peak is not None and np.isnan(peak):
            return (
                "not finite",
                "its membrane is NaN",
                "Look for NaN and infinite numbers in weights and samples (t1c lint).",
            )
        if not isinstance(node, SpikingNeuron | ir.Threshold | ir.Graph):
            return (
                "not positive",
                f"its input is {peak:.4g} at most",
                "Check the bias and the scale of the layer before it.",
            )
        if peak is None or threshold is None:
            return (
                "below threshold",
                "input reaches it, and its comparison never holds",
                "Record a node in it (executor.run(record=[...])) to see how far it gets.",
            )
        if peak <= 0 < threshold:
            return (
                "driven down",
                f"its membrane never rises above rest: {peak:.4g} at most, the threshold is "
                f"{threshold:.4g}",
                "What reaches it is negative on the whole: check the signs of the weights and the "
                "bias before it.",
            )
        before = [source for source in upstream.senders(name) if source != name]
        if before and all(source in self._nodes for source in before):
            listed = _listed(before)
            return (
                "below threshold",
                f"{listed} before it {_is(before)} silent, so that biases alone drive it: "
                f"{peak:.4g} of {threshold:.4g}",
                f"See to {listed} first.",
            )
        share = f"{peak:.4g} of {threshold:.4g}"
        if threshold > 0:
            share += f", {peak / threshold:.0%}"
        cause = f"its membrane reaches {share} of the threshold"
        helps = []
        if rising:
            cause += ", and still rises at the last step"
        near = rising and peak >= NEAR * threshold
        if near:
            helps.append("run more steps")
        gain = _gain(node, self._peaks[name].shape)
        if gain is not None and gain < LOW_GAIN:
            cause += f"; a step takes in {gain:.3g} of its input"
            helps.append("raise r (with r = tau it takes in all of it)")
        elif not near:
            factor = f" by {threshold / peak:.3g} or more" if peak > 0 else ""
            helps.append(f"scale the weights before it{factor}")
        helps.append("lower the threshold")
        remedy = f"{', or '.join(helps)}."
        return "below threshold", cause, remedy[0].upper() + remedy[1:]


def _most(known: Array | None, found: Array) -> Array:
    return found if known is None else np.maximum(known, found)


def _thresholds(node: ir.Node, shape: tuple[int, ...]) -> Array:
    """What each value is compared with, laid over the features; 0 of an activation."""
    values = node.parameters().get("v_threshold", node.parameters().get("threshold"))
    if values is None:
        return np.zeros(())
    wide: Array = values.astype(np.float64)
    return wide.reshape(parameter_shape(wide.shape, shape))


def _gain(node: ir.Node, shape: tuple[int, ...]) -> float | None:
    """The largest share of its input that a neuron takes in at a step; None where it has none."""
    if not isinstance(node, SpikingNeuron):
        return None
    gain = node.coefficients(np.zeros((1, *shape))).get("gain")
    return None if gain is None else float(np.abs(gain).max())


def _nothing_arrives(upstream: _Upstream, name: str, silent: Collection[str]) -> tuple[str, str]:
    sources = list(upstream.senders(name))
    before = [source for source in sources if source in silent and source != name]
    if before:
        listed = _listed(before)
        return (
            f"nothing reaches it: {listed} before it {_is(before)} silent",
            f"See to {listed} first.",
        )
    if sources and all(isinstance(upstream.nodes[source], ir.Input) for source in sources):
        return (
            "nothing reaches it: its input was zero in all steps of all samples",
            "Check the samples, and the weights between the Input and it.",
        )
    return (
        "nothing reaches it: its input was zero in all steps of all samples",
        "Check the weights before it, and that it is connected to what fires.",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(map(repr, names[:MOST])) + more


def _is(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"


class _Upstream:
    """What leads to the nodes of a graph."""

    def __init__(self, graph: ir.Graph) -> None:
        flat = graph.flat()
        self.nodes = flat.nodes
        self._before = Topology(flat.nodes, flat.edges).before

    def senders(self, name: str) -> Iterator[str]:
        """The Inputs and the nodes that fire or activate from which something leads to a node."""
        seen, stack = {name}, list(self._before.get(name, ()))
        while stack:
            other = stack.pop()
            if other in seen:
                continue
            seen.add(other)
            if isinstance(self.nodes[other], _SENDING):
                yield other
            else:
                stack += self._before[other]


_SENDING = (SpikingNeuron, ir.Threshold, ir.ReLU, ir.Sigmoid, ir.Input)
