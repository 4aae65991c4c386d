"""The nodes of one step, written in the order of ``ir.StepPlan``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from t1c import ir
from t1c.ir.step_plan import StepPlan

from .registry import Translation
from .writer import Value, Writer

Sent = dict[str, tuple[Value, ...]]
"""Node -> what it sends, one value for each of its outputs."""
Held = dict[str, tuple[Value, ...]]
"""Node -> its state variables."""


def translation(w: Writer, node: ir.Node) -> Translation:
    """What a node is in ONNX.

    Raises:
        UnsupportedError: nobody said it.
    """
    found = w.shared.translations.get(type(node))
    if found is None:
        w.refuse(
            f"a {node.primitive}, which has no translation to ONNX",
            remedy="Say what it is with @t1c.deploy.onnx.registry.translates.",
        )
    return found


def write_steps(
    w: Writer,
    plan: StepPlan,
    names: Sequence[str],
    sent: Sent,
    before: Held,
    back: Mapping[str, Value],
) -> Held:
    """Write one step of some nodes.

    Args:
        w: where to.
        plan: of the graph.
        names: which nodes, in the order of the plan.
        sent: what others sent in this step; what these send is added.
        before: the states of those with memory.
        back: what nodes whose output runs back sent in the step before.

    Returns:
        The states after the step.
    """

    def taken(name: str) -> Value:
        inputs = [back[a.name] if a.back else sent[a.name][a.port] for a in plan.sources[name]]
        return merged(w, plan, name, inputs)

    after: Held = {}
    for name in names:
        node = plan.nodes[name]
        w.at(name)
        if name in plan.early:
            sent[name] = (_early(translation(w, node).emit)(w, node, before[name]),)
        elif node.state_names:
            # A Delay of no steps holds nothing.
            own = before.get(name, ())
            y, after[name] = translation(w, node).step(w, node, taken(name), own)
            sent[name] = (y,)
        else:
            sent[name] = stateless(w, node, taken(name))
    for name in names:
        if name in plan.early:
            w.at(name)
            node = plan.nodes[name]
            after[name] = _early(translation(w, node).absorb)(w, node, taken(name), before[name])
    return after


def merged(w: Writer, plan: StepPlan, name: str, inputs: Sequence[Value]) -> Value:
    """What the edges into a node become; zeros for a neuron that no edge leads to."""
    node = plan.nodes[name]
    w.at(name)
    if not inputs:
        return w.spread(w.number(0), plan.arriving_shape(name))
    own = translation(w, node).merge
    if own is not None:
        value: Value = own(w, node, inputs)
        return value
    total = inputs[0]
    for value in inputs[1:]:
        total = total + value
    return total


def stateless(w: Writer, node: ir.Node, x: Value) -> tuple[Value, ...]:
    """What a node without memory sends at each of its outputs."""
    y = translation(w, node).step(w, node, x)
    return y if isinstance(y, tuple) else (y,)


def _early(function: Callable[..., Any] | None) -> Callable[..., Any]:
    """What a node that speaks before it listens does, which its family has to say."""
    if function is None:
        raise NotImplementedError("a node that emits early has no emit and absorb in ONNX")
    return function
