"""Where a model and its graph first part: node by node, at the steps that the proof saw.

The model is recorded once more, on the inputs on which the two differ. What each of its lines and
modules gave then stands beside what the node that it became sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from t1c.ir.errors import UnsupportedError

from ..verify.compare import compare
from ..verify.executors import ExecutorSide
from ..verify.trace import Trace
from .axes import BATCH, TIME
from .calling import record
from .differences import ROUNDINGS
from .forms import layout_of, unpacked
from .record import Value
from .sides import Sides, Xs
from .sized import described
from .sketch import Sketch, sketched
from .steps import Key


@dataclass(frozen=True)
class Clue:
    """What is known of the place where two sides part.

    Attributes:
        what: in words.
        where: the line or module of the model.
        chosen: the user's custom_map made the node.
    """

    what: str
    where: str
    chosen: bool = False


def clue(sides: Sides, xs: Xs, dtype: torch.dtype, unit: float, model: nn.Module) -> Clue | None:
    """The first node that differs, or why the steps of the model are not one.

    Args:
        sides: what differs.
        xs: on which inputs.
        dtype: of the arithmetic.
        unit: the unit of rounding of the model's own numbers.
        model: the model, or a copy of it in this dtype.

    Returns:
        None where every node that can be compared agrees.
    """
    found, size = sides.found, sides.size(xs)
    modules = dict(zip(sides.model.modules(), model.modules(), strict=True))
    followed = [modules[module] for module in found.followed]
    with sides.gained(model):
        run, _ = record(
            model, found.arguments, sides.turns(xs), found.convert, followed, found.form.single
        )
    gained = {module for name, module in model.named_modules() if name in sides.gains}
    for call in run.calls:
        if call.module in gained:
            call.problem = None  # the hook is our own
    try:
        sketch = sketched(
            run, found.arguments, found.form, size, found.convert, found.restate, {},
            bool(found.recognised),
        )  # fmt: skip
    except UnsupportedError as error:
        problem = error.problems[0]
        seen = described(*size, found.form)
        return Clue(f"seen {seen}, {problem.found}", problem.where)
    graph = sketch.assembly.graph()
    if set(graph.nodes) != set(found.graph.nodes):
        only = next(iter(set(graph.nodes) ^ set(found.graph.nodes)))
        line = (sketch.assembly.places() | dict(found.lines)).get(only, "")
        return Clue(f"node {only!r} is there at some steps or sizes only", line)
    tolerance = 64 * unit if dtype == torch.float64 else ROUNDINGS * unit
    return _first(sides, sketch, xs, dtype, tolerance)


def _first(
    sides: Sides, sketch: Sketch, xs: Xs, dtype: torch.dtype, tolerance: float
) -> Clue | None:
    """The first node whose output differs."""
    steps, _ = sides.size(xs)
    executor = sides.executor(dtype)
    side = ExecutorSide("graph", "the graph", executor, "step")
    sent = side.trace(
        {
            sides.names[n]: (x.expand(steps, *x.shape) if sides.found.form.still(n) else x).to(
                dtype
            )
            for n, x in xs.items()
            if n in sides.names
        }
    ).values
    mine: dict[str, Tensor] = {}
    for key, port, signal in sketch.building.sent():
        name = sketch.assembly.name_of(signal)
        if name in sent and port >= 0 and name not in mine:
            values = _seen(sides, sketch, key, port, sent[name], xs)
            if values is not None:
                mine[name] = values
    theirs = {name: sent[name] for name in mine}
    places = compare(Trace({}, mine), Trace({}, theirs), tolerance, executor.plan.order).places
    if not places:
        return _outer(sides)
    place = places[0]
    at = (place.step, place.sample)
    element = tuple(int(i) for i in place.elements.nonzero()[0]) if place.elements.dim() else ()
    a, b = (float(values[place.node][at][element]) for values in (mine, theirs))
    node = sides.found.graph.nodes[place.node]
    module = dict(sides.model.named_modules()).get(place.node)
    made = "" if module is None else f", made of module {place.node!r} ({type(module).__name__}),"
    return Clue(
        f"the first node to differ is {place.node!r} ({node.primitive}){made} at step "
        f"{place.step}: {a:g} in the model, {b:g} in the graph",
        sides.found.lines.get(place.node, ""),
        module is not None and sides.found.convert(module) is not None,
    )


def _outer(sides: Sides) -> Clue | None:
    """What a step model does to the batch axis of an output, where all nodes agree."""
    for name, layout in zip(sides.found.graph.outputs(), sides.found.layouts, strict=True):
        roles = [role for dim in layout for role, _ in dim]
        if sides.found.form.single and roles.index(BATCH):
            return Clue(
                f"all nodes agree, but the batch is axis {roles.index(BATCH)} of what the model "
                f"returns as {name!r}, and the first of what it is given",
                "",
            )
    return None


def _seen(sides: Sides, sketch: Sketch, key: Key, port: int, sent: Tensor, xs: Xs) -> Tensor | None:
    """What a family gave (T, B, ...); where it gave nothing, what the graph says.

    Returns:
        None where the two are not laid out alike.
    """
    steps, families = sketch.steps, sketch.building.families
    values = sent.clone()
    for time, call in families.members[key].items():
        value = next((v for v in call.outputs if v.port == port), None)
        if value is None:
            continue
        laid = _laid_out(sides, sketch, value, xs)
        where = slice(None) if time is None or steps.whole(value) else slice(time, time + 1)
        if laid is None or laid.shape[-sent.dim() + 1 :] != sent.shape[1:]:
            return None
        values[where] = laid.to(values)
    return values


def _laid_out(
    sides: Sides, sketch: Sketch, value: Value, xs: Mapping[int, Tensor]
) -> Tensor | None:
    """A value of the record with time, where it has it, and the batch first."""
    layout = layout_of(sketch.steps, value)
    try:
        laid = unpacked(value.tensor, layout, sides.found.form, xs)
    except RuntimeError:
        return None
    timed = any(role == TIME for dim in layout for role, _ in dim)
    return laid if timed else laid.unsqueeze(0)
