"""A run of a model as nodes: its steps told, its outputs named, its families drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from t1c.ir.errors import GraphError, Problem, T1CError, UnsupportedError

from ..modules.exporting import Fragment
from .assemble import Assembly, Restate, Result
from .axes import features
from .building import Building
from .calling import Arguments, ModelError
from .families import Families
from .first_step import FirstStep
from .forms import Form, layout_of
from .module_calls import Convert
from .outputs import (
    Output,
    refuse_other_axes,
    refuse_other_order,
    refuse_without_features,
    results_of,
)
from .recognise import recognise
from .record import Record, called_at
from .steps import Steps


@dataclass(frozen=True)
class Sketch:
    """A run as nodes.

    Attributes:
        steps: the steps and axes of the run.
        named: its outputs.
        building: what every family of calls became.
        assembly: the names of these nodes.
    """

    steps: Steps
    named: list[Output]
    building: Building
    assembly: Assembly


def sketched(
    run: Record,
    arguments: Arguments,
    form: Form,
    size: tuple[int, int],
    convert: Convert,
    restate: Restate,
    made: dict[Any, Fragment],
    recognising: bool,
) -> Sketch:
    """The nodes of a run of so many steps and samples.

    Raises:
        UnsupportedError: the model does what no graph can say.
        ModelError: it takes another number of steps.
    """
    lead = {
        number: form.dims(number, *size)
        for number in run.inputs
        if form.shapes[number] is not None and not form.single
    }
    steps = Steps(run, lead, form.single)
    if size[0] > form.steps and steps.taken() == set(range(form.steps)):
        # It takes as many steps as its author wrote, whatever it is given.
        raise ModelError(Problem(f"the model takes {form.steps} steps of {size[0]}"))
    named = results_of(run, steps)
    families = Families(steps, [value for _, value, _ in named])
    FirstStep(families).simplify()
    building = Building(families, convert, made, arguments.names)
    for name, value, _ in named:
        refuse_other_axes(name, value, layout_of(steps, value))
        if form.single:
            refuse_other_order(name, steps, value[-1])  # type: ignore[index]
    final = [
        not form.single and not isinstance(v, list) and not steps.whole(v) for _, v, _ in named
    ]
    for (name, value, _), signal in zip(named, building.outputs, strict=True):
        refuse_without_features(name, value, signal.features)
    if recognising:
        recognise(building.drawing, building.outputs)
    single = len(named) == 1
    results = [
        Result("output" if single else name, signal, last)
        for (name, _, _), signal, last in zip(named, building.outputs, final, strict=True)
    ]
    # Beside a sequence, a value is held for as many steps as that has.
    hold = steps.count if form.held else 1
    inputs = [
        (arguments.names[number], hold if form.still(number) else None, spot)
        for number, spot in sorted(building.inputs.items())
    ]
    return Sketch(steps, named, building, Assembly(building.drawing, inputs, results, restate))


def placed(error: GraphError | UnsupportedError, sketch: Sketch, convert: Convert) -> T1CError:
    """An error about nodes, with the lines of the model that they come from."""
    if isinstance(error, UnsupportedError):
        return error
    misfits = []
    for spot in sketch.assembly.spots:
        call, node = spot.call, spot.node
        if call is None or call.module is None or not spot.own or convert(call.module) is None:
            continue
        entering = spot.inputs[0].features
        leaving = tuple(
            call.outputs[0].shape[i] for i in features(sketch.steps.dims(call.outputs[0]))
        )
        try:
            _, (made, *_) = node.shapes([entering])
        except T1CError as wrong:
            said = wrong.problems[0].found
        else:
            said = "" if made == leaving else f"it makes {made} of {entering}"
        if said:
            misfits.append(
                Problem(
                    f"custom_map gives the node {node.primitive}, which does not fit: {said}",
                    f"a node that makes {leaving} of {entering}, as the module does",
                    where=called_at(call),
                )
            )
    if misfits:
        return UnsupportedError(misfits)
    lines = sketch.assembly.places()
    placed = []
    for problem in error.problems:
        line = next((at for n, at in lines.items() if f"node {n!r}" in problem.where), "the model")
        placed.append(problem.at(line) if line != "the model" else problem)
    return GraphError(placed, error.heading)
