"""Inputs that drive every neuron: gains, layer by layer, until each population fires and is silent.

What a network of untrained weights does deep inside is mostly nothing, and two sides that do
nothing agree on anything. So what enters a population is multiplied by a power of two, on both
sides: by a neuron's own gain, or by the weights in front of a threshold. No rounding changes by it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from t1c import ir
from t1c.ir.errors import T1CError

from ..engine.stages import work_stage
from ..engine.state_checks import States
from ..engine.values import Values
from ..executor import GraphExecutor
from ..from_ir import ir_to_torch, node_to_module
from ..modules.registry import mark_default, remember

NEVER = 1e30
"""A threshold that stands for one that is never reached."""
TRIES = 6
"""Gains that are tried for one population."""

_GAINS = {ir.LIF: "r", ir.IF: "r", ir.CubaLIF: "w_in"}
"""The field of a neuron that multiplies what it receives."""
_WEIGHTS = (ir.Affine, ir.Linear, ir.Conv1d, ir.Conv2d)


@dataclass
class Drive:
    """The gains that were found.

    Attributes:
        gains: node -> power of two by which what enters it, or its weight, is multiplied.
        silent: populations that could not be made to fire.
        busy: populations that could not be made to stay silent anywhere.
        undriven: populations that were not reached -> why.
    """

    gains: dict[str, float] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    undriven: dict[str, str] = field(default_factory=dict)


def fires(node: ir.Node) -> bool:
    """Whether a node sends spikes: a neuron, a threshold, a comparison."""
    if isinstance(node, ir.Binary):
        return node.op in ("greater", "greater_or_equal")
    return getattr(node, "fires_at", None) is not None


def with_gains(graph: ir.Graph, gains: Mapping[str, float]) -> ir.Graph:
    """The graph with gains in place."""
    nodes = {n: _gained(node, gains[n]) if n in gains else node for n, node in graph.nodes.items()}
    return ir.Graph(nodes, graph.edges, allow_cycles=graph.allow_cycles, feedback=graph.feedback)


def _gained(node: Any, gain: float) -> ir.Node:
    name = _GAINS.get(type(node))
    if name is not None:
        made: ir.Node = node.replace(**{name: getattr(node, name) * gain})
        return made
    changes = {"weight": node.weight * gain}
    if hasattr(node, "bias"):
        changes["bias"] = node.bias * gain
    made = node.replace(**changes)
    return made


class Driver:
    """Finds gains for a graph.

    Args:
        graph: whose populations are driven.
        dtype: of the arithmetic.
        movable: the nodes that the model has too, as modules of the same name.
        xs: inputs by name (T, B, ...).
    """

    def __init__(
        self,
        graph: ir.Graph,
        dtype: torch.dtype,
        movable: Collection[str],
        xs: Mapping[str, Tensor],
    ) -> None:
        self._graph, self._dtype = graph, dtype
        self._movable = set(movable)
        self._executor: GraphExecutor = ir_to_torch(
            graph, dtype=dtype, events=False, return_state=True
        )
        self._xs = self._executor._inputs(dict(xs), 2)
        self._sent: Values = {}
        plan = self._executor.plan
        self._stage_of = {name: i for i, s in enumerate(plan.stages) for name in s.names}
        self._levers = {name: self._lever(name) for name in plan.order if self._drivable(name)}
        self._needed = self._last_stages()

    @property
    def executor(self) -> GraphExecutor:
        """The graph with the gains in place that were found."""
        return self._executor

    @torch.no_grad()
    def drive(self) -> Drive:
        """Work the graph stage by stage, and settle the gain of each population on the way."""
        found, stages = Drive(), self._executor.plan.stages
        tried: dict[str, list[float]] = {}
        at = 0
        while at < len(stages):
            after: States = {}
            try:
                work_stage(
                    self._executor.network,
                    stages[at],
                    self._xs,
                    self._sent,
                    {},
                    after,
                    self._executor.plan.order,
                    self._executor.network.look(next(iter(self._xs.values()))),
                )
                back = self._settle(at, tried, found)
            except T1CError as error:
                return self._given_up(at, found, str(error.problems[0]))
            if back is not None:
                at = back
                continue
            for name in [n for n in self._sent if self._needed[n] <= at]:
                del self._sent[name]
            at += 1
        return found

    def _given_up(self, at: int, found: Drive, why: str) -> Drive:
        """The gains of the stages before; this one and what comes behind it keep their own."""
        behind = [n for stage in self._executor.plan.stages[at:] for n in stage.names]
        found.gains = {n: g for n, g in found.gains.items() if n not in behind}
        found.undriven = {n: why for n in behind if fires(self._graph.nodes[n])}
        return found

    def _last_stages(self) -> dict[str, int]:
        """After which stage what a node sends is not asked for again, going back included."""
        plan = self._executor.plan
        count = len(plan.stages)
        # From each stage on, the earliest that a population may go back to.
        earliest = list(range(count + 1))
        for name, lever in self._levers.items():
            if lever is not None:
                at = self._stage_of[name]
                earliest[at] = min(earliest[at], self._stage_of[lever])
        for at in reversed(range(count)):
            earliest[at] = min(earliest[at], earliest[at + 1])
        last = dict.fromkeys(plan.order, -1)
        for name in plan.order:
            for source in plan.sources[name]:
                last[source.name] = max(last[source.name], self._stage_of[name])
        return {
            name: next((at for at in range(count) if earliest[at + 1] > stage), count)
            for name, stage in last.items()
        }

    def _settle(self, at: int, tried: dict[str, list[float]], found: Drive) -> int | None:
        """The stage to work anew, if a population of this one needs another gain."""
        for name in self._executor.plan.stages[at].names:
            if name not in self._levers:
                continue
            spikes = self._sent[name]
            some, all_ = bool((spikes != 0).any()), bool((spikes != 0).all())
            if some and not all_:
                continue
            lever = self._levers[name]
            seen = tried.setdefault(name, [])
            if lever is None or len(seen) >= TRIES:
                (found.busy if some else found.silent).append(name)
                continue
            gain = self._next(name, lever, found.gains.get(lever, 1.0), seen, some)
            seen.append(gain)
            found.gains[lever] = gain
            self._replace(lever, gain)
            return next(i for i, s in enumerate(self._executor.plan.stages) if lever in s.names)
        return None

    def _drivable(self, name: str) -> bool:
        return fires(self._graph.nodes[name]) and self._threshold(name) <= NEVER

    def _lever(self, name: str) -> str | None:
        """The node whose gain decides how much a population receives."""
        if type(self._graph.nodes[name]) in _GAINS and name in self._movable:
            return name
        return self._weights_before(name)

    def _next(self, name: str, lever: str, now: float, seen: list[float], busy: bool) -> float:
        """The gain to try next."""
        if busy:
            return now / 4 if len(seen) % 2 == 0 else -now
        if seen:
            return now * 4 if len(seen) % 3 else -now
        arriving = self._arriving(name)
        most = float(arriving.max()) if arriving.numel() else 0.0
        least = float(arriving.min()) if arriving.numel() else 0.0
        threshold = self._threshold(name)
        if most <= 0 and least < 0 and threshold > 0:
            return -_power(2 * threshold / -least) * now
        if most > 0 and threshold > 0:
            return max(_power(2 * threshold / most), 2.0) * now
        return 8 * now

    def _arriving(self, name: str) -> Tensor:
        sources = self._executor.plan.sources[name]
        values = [self._sent[s.name] for s in sources if not s.back and s.name in self._sent]
        kept = [v for v in values if isinstance(v, Tensor)]
        return sum(kept[1:], kept[0]) if kept else torch.zeros(0)

    def _threshold(self, name: str) -> float:
        node = self._graph.nodes[name]
        held = getattr(node, "v_threshold", getattr(node, "threshold", None))
        return float(held.max()) if held is not None else 1.0

    def _weights_before(self, name: str) -> str | None:
        """The nearest node in front whose weights the model has too."""
        waiting, seen = [name], {name}
        while waiting:
            current = waiting.pop(0)
            for source in self._executor.plan.sources[current]:
                if source.name in seen:
                    continue
                seen.add(source.name)
                node = self._graph.nodes[source.name]
                if isinstance(node, _WEIGHTS) and source.name in self._movable:
                    return source.name
                if not (fires(node) and source.name != name):
                    waiting.append(source.name)
        return None

    def _replace(self, name: str, gain: float) -> None:
        node = _gained(self._graph.nodes[name], gain)
        node = node.typed(*_types(self._graph.nodes[name]))
        module = node_to_module(node, dtype=self._dtype)
        assert module is not None
        self._executor.add_module(
            self._executor._children[name], remember(mark_default(module), node)
        )


def _types(node: ir.Node) -> tuple[Any, Any]:
    from t1c.ir.shapes import as_shape

    return (
        as_shape((node.input_type or {}).get("input")),
        [as_shape(shape) for shape in (node.output_type or {}).values()],
    )


def _power(number: float) -> float:
    """The nearest power of two."""
    return 2.0 ** round(math.log2(number)) if 0 < number < float("inf") else 1.0
