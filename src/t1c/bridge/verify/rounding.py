"""Whether a difference is one that the order of additions alone could make.

A sum of n floating-point terms is off by about ``sqrt(n) * eps * sum(|term|)`` (Higham and Mary,
2019, "A new approach to probabilistic rounding error analysis"); the bound used here is four times
that, with n counting the terms of the weighted sums that lead to the value and the steps that the
membrane has summed over.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..engine.stateful import StatefulModule
from ..engine.values import Sent
from ..engine.work import can_fold
from ..modules import MergeModule, NeuronModule
from .compare import Place
from .executors import ExecutorSide
from .trace import Trace, Xs, each

SAFETY = 4.0
BLIND = 64.0
"""Roundings assumed where no graph shows the summands."""


@dataclass(frozen=True)
class Evidence:
    """What is known of the first difference of a sample, at its most telling element.

    Attributes:
        element: the index of the neuron, or feature, in the node.
        values: what a and b sent.
        potentials: their membranes when firing was tested; None where not seen.
        threshold: what these are compared with; None where not seen.
        bound: how far rounding alone may put the two apart.
        rounding: whether all differing elements of the sample lie within their bounds.
    """

    element: tuple[int, ...]
    values: tuple[float, float]
    potentials: tuple[float | None, float | None]
    threshold: float | None
    bound: float
    rounding: bool

    @property
    def distances(self) -> tuple[float | None, float | None]:
        """How far each potential is above the threshold."""
        known = self.threshold
        first, second = (None if u is None or known is None else u - known for u in self.potentials)
        return first, second


def evidence(place: Place, a: Trace, b: Trace, xs: Xs, graph: ExecutorSide | None) -> Evidence:
    """Look at the first difference of a sample.

    Args:
        place: where it is.
        a: what one side did.
        b: what the other did.
        xs: the input.
        graph: the side whose summands can be looked at, if either is one.
    """
    node = graph.origin(place.node) if graph is not None and place.is_output else place.node
    at = (place.step, place.sample)
    shape = place.elements.shape
    us = [_at(trace.potentials.get(node), at, shape) for trace in (a, b)]
    threshold = next(
        (_over(t.thresholds[node], shape) for t in (a, b) if node in t.thresholds), None
    )
    if place.is_output:
        pairs = [_of_output(t, place).double() for t in (a, b)]
    else:
        pairs = [t.values[node][at].double() for t in (a, b)]
    bound = _bound(place, node, a, b, xs, graph).expand(shape)
    within = _within(place, pairs, us, threshold, bound) & place.elements
    # The element shown is one that rounding does not explain, if there is one.
    shown = place.elements & ~within if (place.elements & ~within).any() else place.elements
    index = tuple(int(i) for i in shown.nonzero()[0]) if shown.dim() else ()
    first, second = (None if u is None else float(u[index]) for u in us)
    return Evidence(
        element=index,
        values=(float(pairs[0][index]), float(pairs[1][index])),
        potentials=(first, second),
        threshold=None if threshold is None else float(threshold[index]),
        bound=float(bound[index]),
        rounding=bool(within.equal(place.elements)),
    )


def _within(
    place: Place,
    values: list[Tensor],
    us: list[Tensor | None],
    threshold: Tensor | None,
    bound: Tensor,
) -> Tensor:
    """Which elements rounding alone may explain."""
    mine, theirs = us
    if place.what != "spike":
        first, second = (mine, theirs) if place.what == "potential" else values
        assert first is not None
        assert second is not None
        return (first - second).abs() <= bound
    if mine is not None and theirs is not None:
        # Equal potentials that are judged differently are no matter of rounding.
        apart = (mine - theirs).abs()
        return (apart > 0) & (apart <= bound)
    seen = mine if mine is not None else theirs
    if seen is None or threshold is None:
        return torch.zeros_like(place.elements)
    # One spike more or less: the membrane lies at that multiple of its threshold.
    crossing = torch.maximum(*values).clamp(min=1) * threshold
    return (seen - crossing).abs() <= bound


def _bound(
    place: Place, node: str, a: Trace, b: Trace, xs: Xs, graph: ExecutorSide | None
) -> Tensor:
    """How far apart rounding may put the two sides, for each element."""
    shown = next(
        (t for t in (a, b) if node in t.potentials),
        next((t for t in (a, b) if node in t.values), None),
    )
    dtype = next(iter(a.outputs.values())).dtype
    eps = torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
    if graph is not None and graph.module(node) is not None:
        summands, terms = _Summands(graph, xs, place).of_membrane(node)
        # Half types are multiplied with a wide accumulator, which is rounded once.
        terms = place.step + 1 + (0 if eps > 1e-3 else terms)
        return SAFETY * math.sqrt(terms) * eps * summands
    if shown is None:
        return torch.zeros(())
    traces = [t.potentials.get(node, t.values.get(node)) for t in (a, b)]
    past = [t[: place.step + 1, place.sample].abs().amax(0) for t in traces if t is not None]
    return BLIND * eps * torch.stack(past).amax(0).double()


class _Summands:
    """Magnitudes of what is summed up, in the graph, at one step of one sample."""

    def __init__(self, side: ExecutorSide, xs: Xs, place: Place) -> None:
        self.executor = side.executor
        self.step = place.step
        part = each(xs, lambda x: x[: place.step + 1, place.sample : place.sample + 1])
        self.trace = side.trace(part)
        self.inputs = self.executor._inputs(part, 2)
        self.terms = 0
        self.known: dict[str, Sent] = {}

    def of_membrane(self, node: str) -> tuple[Tensor, int]:
        """(sum of magnitudes, number of terms) of a neuron's membrane, or of a value sent."""
        module = self.executor.node(node)
        if not isinstance(module, NeuronModule):
            return self.sent(node)[0].double(), self.terms
        past = self.trace.potentials[node].abs().amax(0)
        sources = self.executor.plan.sources[node]
        x = self.arriving(node) if sources else torch.zeros_like(past)
        coefficients = {name: c.abs() for name, c in module.coefficients(x).items()}
        rest = tuple(torch.zeros_like(x) for _ in module.state_names[1:])
        drive, _ = module.node_type.drive(coefficients, x, rest)
        before = past + coefficients.get("v_threshold", torch.zeros(()))
        total = torch.maximum(module.node_type.decay(coefficients, before, drive), past)
        return total[0].double(), self.terms

    def arriving(self, node: str) -> Tensor:
        """Magnitudes of what reaches a node."""
        module = self.executor.node(node)
        sent = []
        for source in self.executor.plan.sources[node]:
            value = self.before(source.name) if source.back else self.sent(source.name)
            sent.append(value[source.port] if isinstance(value, tuple) else value)
        if isinstance(module, MergeModule):
            magnitude, terms = module.magnitude(sent)
            self.terms += terms - 1
            return magnitude
        return torch.stack(sent).sum(0)

    def before(self, node: str) -> Tensor:
        """Magnitudes of what a node sent in the step before."""
        values = self.trace.values[node]
        return values[self.step - 1].abs() if self.step else torch.zeros_like(values[0])

    def sent(self, node: str) -> Sent:
        """Magnitudes of the terms of what a node sends."""
        if node not in self.known:
            self.known[node] = self._sent(node)
        return self.known[node]

    def _sent(self, node: str) -> Sent:
        if node in self.inputs:
            return self.inputs[node][self.step].cpu().abs()
        module = self.executor.node(node)
        value = self.trace.values.get(node)
        if isinstance(module, StatefulModule) or not can_fold(module):
            assert value is not None
            return value[self.step].abs()
        weight = getattr(module, "weight", None)
        self.terms += math.prod(weight.shape[1:]) if isinstance(weight, Tensor) else 0
        with torch.no_grad():
            terms = _positive(module)(self.arriving(node))
        if isinstance(terms, tuple):
            return tuple(part.abs() for part in terms)
        return terms.abs() if value is None else torch.maximum(terms.abs(), value[self.step].abs())


def _positive(module: nn.Module) -> nn.Module:
    """The module with weights that add up magnitudes."""
    twin = copy.deepcopy(module).cpu()
    for parameter in twin.parameters():
        parameter.abs_()
    mean = getattr(twin, "running_mean", None)
    if isinstance(mean, Tensor):
        mean.copy_(-mean.abs())  # it is subtracted
    return twin


def _of_output(trace: Trace, place: Place) -> Tensor:
    """What an output sent at a place; where each side has one output, its name does not matter."""
    name = place.node if place.node in trace.outputs else next(iter(trace.outputs))
    return trace.outputs[name][place.step - trace.last.get(name, 0), place.sample]


def _at(values: Tensor | None, at: tuple[int, int], shape: torch.Size) -> Tensor | None:
    """One step of one sample, if it is laid out like the elements in question."""
    if values is None or values.shape[2:] != shape:
        return None
    return values[at].double()


def _over(threshold: Tensor, shape: torch.Size) -> Tensor | None:
    try:
        return threshold.double().expand(shape)
    except RuntimeError:
        return None  # a threshold of another layout: of a node that only shares the name
