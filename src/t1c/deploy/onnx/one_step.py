"""A model of one step: inputs and states go in, outputs and new states come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.shapes import Shape
from t1c.ir.step_plan import StepPlan

from ..ports import SENT, Port
from .ports import StatePort
from .step import Held, Sent, write_steps
from .writer import Value, Writer

Asked = tuple[list[Port], dict[str, Array]]
"""What goes into a model beside Inputs and states, and values of it that need not be given."""


def write_one_step(
    w: Writer, graph: ir.Graph, plan: StepPlan, states: Sequence[StatePort]
) -> Asked:
    """Write a whole step; nothing goes in beside Inputs and states."""
    entries = {name: node.shape for name, node in graph.inputs().items()}
    sent = entered(w, entries, 1)
    before, back = laid_states(w, states)
    names = [name for name in plan.order if name not in entries]
    after = write_steps(w, plan, names, sent, before, back)
    for name in graph.outputs():
        w.call(sent[name][0], name)
    close_states(w, states, after, {name: sent[name][0] for name in plan.fed_back})
    return [], {}


def entered(w: Writer, shapes: Mapping[str, Shape], lead: int, sizes: str = "") -> Sent:
    """What comes in, once it is known to have one size of the first ``lead`` axes.

    A model that added what does not fit would stretch it, and go on with other numbers.

    Args:
        w: where to.
        shapes: Input -> its feature shape.
        lead: 1 for a batch; 2 for time and batch.
        sizes: of these axes; if empty, those of the first input, whose batch is then the writer's.
    """
    sent: Sent = {}
    for name, shape in shapes.items():
        w.at(name)
        if not sizes:
            sizes = w.op("Shape", name, shape=(), start=0, end=lead).name
            w.batch = sizes if lead == 1 else w.op("Shape", name, shape=(), start=1, end=2).name
            sent[name] = (Value(w, name, shape),)
            continue
        expected = w.op("Concat", sizes, w.integers(*shape), shape=(), axis=0)
        alike = w.op("Equal", w.op("Shape", name, shape=()), expected, shape=())
        # A size of -2 is one that Reshape refuses. onnxruntime makes the first size of a target
        # that a Concat gives into one that fits anything, but not that of a Where.
        target = w.op("Where", alike, expected, w.integers(-2), shape=())
        sent[name] = (w.op("Reshape", name, target, shape=shape),)
    return sent


def laid_states(w: Writer, states: Sequence[StatePort]) -> tuple[Held, dict[str, Value]]:
    """The states before a step, each laid over the batch: one of a single sample is for all.

    Returns:
        Those of the nodes, and what nodes whose output runs back sent.
    """
    held: dict[str, list[Value]] = {}
    back: dict[str, Value] = {}
    for port in states:
        w.at(port.node)
        target = w.op("Concat", w.batch, w.integers(*port.shape), shape=(), axis=0)
        laid = w.op("Expand", port.name, target, shape=port.shape)
        # Expand would stretch the batch too, to that of the state; this says no.
        laid = w.op("Reshape", laid, target, shape=port.shape)
        if port.variable == SENT:
            back[port.node] = laid
        else:
            held.setdefault(port.node, []).append(laid)
    return {name: tuple(values) for name, values in held.items()}, back


def close_states(
    w: Writer, states: Sequence[StatePort], after: Held, back: Mapping[str, Value]
) -> None:
    """Name the states after the last step."""
    told: dict[str, int] = {}
    for port in states:
        if port.variable == SENT:
            w.call(back[port.node], port.next_name)
        else:
            k = told.setdefault(port.node, 0)
            w.call(after[port.node][k], port.next_name)
            told[port.node] += 1
