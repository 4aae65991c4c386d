"""A graph, a file or an executor as a side: every node can be looked at."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape

from ..engine.arrivals import reached
from ..engine.state_checks import States
from ..engine.stateful import State
from ..engine.step import step_by_node
from ..engine.values import Values
from ..executor import GraphExecutor
from ..modules import NeuronModule, ThresholdModule
from ..modules.registry import node_of
from .copying import fresh
from .trace import Trace, Xs, device_of, each, tensors, watch_firing


class ExecutorSide:
    """A ``GraphExecutor``, stepped or run as a sequence.

    Args:
        name: 'a' or 'b'.
        label: what it is, in a few words.
        executor: what runs; a copy of it is used.
        kind: 'step' calls it step by step, 'sequence' hands it the whole sequence.
        dtype: of the arithmetic; None: as the executor has it.
    """

    def __init__(
        self,
        name: str,
        label: str,
        executor: GraphExecutor,
        kind: str,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.name, self.label, self.kind = name, label, kind
        self.executor = fresh(executor, dtype)
        # What is compared is the graph: its sums are taken in torch's own order.
        self.executor.events = False

    def module(self, node: str) -> nn.Module | None:
        """The module of a node."""
        return self.executor.node(node) if node in self.executor.plan.sources else None

    def changed(self, executor: GraphExecutor) -> ExecutorSide:
        """The same side with a changed copy of its executor."""
        side = copy.copy(self)
        side.executor = executor
        return side

    def neurons(self) -> list[str]:
        """The nodes that fire, in the order of work."""
        return [
            name
            for name in self.executor.plan.order
            if getattr(self.module(name), "fires_at", None) is not None
        ]

    def origin(self, output: str) -> str:
        """The one node whose value an output passes on; the output itself if it adds several."""
        sources = self.executor.plan.sources[output]
        passes = isinstance(node_of(self.executor.node(output)), ir.Output | ir.Identity)
        return self.origin(sources[0].name) if passes and len(sources) == 1 else output

    @torch.no_grad()
    def trace(self, xs: Xs) -> Trace:
        """Run all steps from rest, and note what every node sent and every potential."""
        executor = fresh(self.executor)
        xs = each(xs, lambda x: x.to(device_of(executor)))
        tested: dict[str, list[Tensor]] = {name: [] for name in executor.plan.order}
        compared = {name: watch_firing(executor.node(name), t) for name, t in tested.items()}
        inputs = executor._inputs(xs, 2)
        values = executor.trace(xs) if self.kind == "sequence" else _stepped(executor, inputs)
        steps = len(next(iter(inputs.values())))
        borders = [n for n in values if isinstance(node_of(executor.node(n)), ir.Input | ir.Output)]
        potentials, thresholds = _potentials(executor, inputs, values)
        for name, noted in tested.items():
            threshold = compared[name]
            if noted and threshold is not None:
                potentials[name] = torch.stack(noted)
                thresholds[name] = threshold
        spiking = {*self.neurons(), *thresholds}
        return Trace(
            outputs={
                name: (values[name][-1:] if name in executor.borders.final else values[name]).cpu()
                for name in executor.plan.outputs
            },
            values={
                name: value.cpu()
                for name, value in values.items()
                if isinstance(value, Tensor) and name not in borders
            },
            potentials={name: value.cpu() for name, value in potentials.items()},
            thresholds={name: value.cpu() for name, value in thresholds.items()},
            last=dict.fromkeys(executor.borders.final, steps - 1),
            fired={
                name: bool(values[name].any()) for name in executor.plan.order if name in spiking
            },
            spiking=frozenset(o for o in executor.plan.outputs if self.origin(o) in spiking),
        )

    @torch.no_grad()
    def ran(self, xs: Xs) -> Trace:
        """The outputs alone, of the whole sequence run at once as users run it."""
        executor = fresh(self.executor)
        xs = each(xs, lambda x: x.to(device_of(executor)))
        found, _ = executor.run(xs)
        names = executor.plan.outputs
        outputs = found if isinstance(found, dict) else {names[0]: found}
        steps = len(tensors(xs)[0])
        return Trace(
            outputs={
                name: (value.unsqueeze(0) if name in executor.borders.final else value).cpu()
                for name, value in outputs.items()
            },
            last=dict.fromkeys(executor.borders.final, steps - 1),
        )

    def at_once(self) -> ExecutorSide:
        """The same side, which takes the whole sequence at once."""
        return ExecutorSide(self.name, self.label, self.executor, "sequence")


def _stepped(executor: GraphExecutor, inputs: dict[str, Tensor]) -> Values:
    """What every node sent at every step (T, B, ...), one step at a time."""
    state: States = {}
    sent: dict[str, list[Any]] = {name: [] for name in executor.plan.order}
    for t in range(len(next(iter(inputs.values())))):
        values, state = step_by_node(
            executor.network, {name: x[t] for name, x in inputs.items()}, state
        )
        for name, value in values.items():
            sent[name].append(value)
    return {name: _stacked(steps) for name, steps in sent.items()}


def _stacked(steps: list[Any]) -> Any:
    if isinstance(steps[0], tuple):
        return tuple(torch.stack(port) for port in zip(*steps, strict=True))
    return torch.stack(steps)


def _potentials(
    executor: GraphExecutor, inputs: dict[str, Tensor], values: Values
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Membranes when firing is tested, and thresholds, by node.

    Each neuron is stepped once more on what reached it, which repeats the very same arithmetic.
    """
    potentials: dict[str, Tensor] = {}
    thresholds: dict[str, Tensor] = {}
    for name in executor.plan.order:
        module = executor.node(name)
        if not isinstance(module, NeuronModule | ThresholdModule):
            continue
        xs = reached(executor.network, name, inputs, values, {})
        if isinstance(module, ThresholdModule):
            potentials[name] = xs
            laid = parameter_shape(tuple(module.threshold.shape), tuple(xs.shape[2:]))
            thresholds[name] = module.threshold.reshape(laid)
            continue
        own, membranes = module.initial_state(xs[0]), []
        for x in xs:
            u, own = tested(module, x, own)
            membranes.append(u)
        potentials[name] = torch.stack(membranes)
        if "v_threshold" in module.exact:
            thresholds[name] = module.coefficients(xs[0])["v_threshold"]
    return potentials, thresholds


def tested(module: NeuronModule, x: Tensor, state: State) -> tuple[Tensor, State]:
    """The membrane when firing is tested, and the state after the step."""
    _, after = module.step(x, state)
    if module.reset_mode is None or module.reset_delay:
        return after[-1], after
    coefficients = module.coefficients(x)
    drive, _ = module.node_type.drive(coefficients, x, state[:-1])
    return module.node_type.decay(coefficients, state[-1], drive), after
