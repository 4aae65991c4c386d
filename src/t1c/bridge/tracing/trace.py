"""A model as a graph: recorded on numbers of our own, understood, folded, assembled; and once more.

The second time the sequences and batches have other sizes. Whatever number of steps or samples got
into the graph, the two graphs differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from t1c import ir
from t1c.ir.errors import GraphError, Problem, T1CError, UnsupportedError

from ..modules.exporting import Fragment
from .assemble import Assembly, Restate, Result
from .axes import BATCH, STILL, features, leaves
from .building import Building, MembraneUsedError
from .calling import Arguments, ModelError, arguments_of, record, refused_model
from .families import Families
from .first_step import FirstStep, NumbersNeededError
from .forms import Form, Shapes, drawn, form_of, layout_of
from .module_calls import Convert
from .recognise import recognise
from .record import Record, Value, called_at, replaced
from .sized import failed_at
from .steps import Steps, UnequalSequencesError

Drawn = tuple[
    ir.Graph,
    dict[str, str],
    tuple[Shapes, ...],
    tuple[int, ...],
    tuple["Place", ...],
    frozenset[str],
]
Place = tuple[Any, ...]
"""The keys that lead to a part of nested outputs."""
Output = tuple[str, Value | list[Value], Place]
"""What a model returned: a name, the value or one for each step, and its place."""
SIZES = ((7, 3), (5, 2))
"""Steps and samples of the two runs: enough to see what memory does, and sizes that differ."""
FEWER = ((5, 2), (4, 3))
"""The same for a model that is LARGE."""
LARGE = 500_000
"""Numbers that a model works out for one sample at one step, from which it is run on fewer."""


@dataclass(frozen=True)
class Traced:
    """A graph, and how the model that it came from is called.

    Attributes:
        graph: what the model computes in a step.
        arguments: what the model is called with.
        form: how it wants it.
        sizes: numbers of steps and samples that the model was seen to take.
        layouts: for each output its axes: lists of (role, size).
        entries: the numbers of the arguments that the graph has as inputs.
        places: for each output, where it is in what the model returns.
        large: it is costly to run.
        numbers: how many numbers the model works out for one sample at one step.
        lines: node -> the line of the model that it comes from.
        convert, restate: the user's choices of nodes.
        followed: neurons that were followed through their own code.
        recognised: the nodes that are neurons of the model's own code.
    """

    graph: ir.Graph
    arguments: Arguments
    form: Form
    sizes: tuple[tuple[int, int], ...]
    layouts: tuple[Shapes, ...]
    entries: tuple[int, ...]
    places: tuple[Place, ...]
    large: bool
    numbers: int
    lines: Mapping[str, str]
    convert: Convert
    restate: Restate
    followed: tuple[nn.Module, ...]
    recognised: frozenset[str]

    def picked(self, outputs: Any) -> list[Any]:
        """The outputs of the graph among what the model returned."""
        found = []
        for place in self.places:
            part = outputs
            for key in place:
                part = part[key]
            found.append(part)
        return found


def looked_through(model: nn.Module) -> nn.Module:
    """The model inside of what only runs it: torch.compile, DataParallel."""
    inner: Any = model
    while True:
        if hasattr(inner, "_orig_mod"):
            inner = inner._orig_mod
        elif isinstance(inner, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = inner.module
        else:
            break
    looked: nn.Module = inner
    return looked


def traced(
    model: nn.Module,
    sample: Any,
    convert: Convert,
    restate: Restate,
    recognising: bool = True,
) -> Traced:
    """The graph of a model.

    Args:
        model: what is traced.
        sample: what it is called with.
        convert: the user's choice of node for a module.
        restate: what to make of each node.
        recognising: neurons that are written out in operations become primitives.

    Raises:
        UnsupportedError: the model does what no graph can say.
    """
    followed: list[nn.Module] = []
    unsaid: dict[str, Problem] = {}
    while True:
        try:
            return _traced(model, sample, convert, restate, followed, unsaid, recognising)
        except MembraneUsedError as error:
            if any(m is error.module for m in followed):
                raise UnsupportedError(error.problem) from None
            followed.append(error.module)
        except UnsupportedError as error:
            raise _with_reasons(error, unsaid) from error.__cause__


def _traced(
    model: nn.Module,
    sample: Any,
    convert: Convert,
    restate: Restate,
    followed: Sequence[nn.Module],
    unsaid: dict[str, Problem],
    recognising: bool,
) -> Traced:
    arguments = arguments_of(model, sample)
    try:
        seen, recorder = record(
            model, arguments, [arguments.tensors], convert, followed, keep=False
        )
    except ModelError as error:
        raise refused_model(error) from error
    returned = replaced(seen.results[0], Value, lambda value: value.tensor)
    states = recorder.state_inputs | arguments.states_in(returned)
    if states:
        arguments = arguments.without(states)
        seen, _ = record(model, arguments, [arguments.tensors], convert, followed, keep=False)
    unsaid.update(recorder.unsaid)
    form = form_of(Steps(seen, {}, single=False), arguments)
    numbers = sum(v.tensor.numel() for c in seen.calls for v in c.outputs if not c.constant)
    numbers //= form.steps * form.batch
    large = numbers > LARGE
    del seen
    made: dict[Any, Fragment] = {}
    drawings: list[Drawn] = []
    sizes: list[tuple[int, int]] = []
    for seed, wanted in enumerate(FEWER if large else SIZES):
        drawing, size = _drawn(
            model, arguments, form, wanted, convert, followed, seed, restate, made, not large,
            recognising,
        )  # fmt: skip
        if seed and size == sizes[0]:
            break
        sizes.append(size)
        drawings.append(drawing)
    graph, lines, layouts, entries, places, recognised = drawings[0]
    if len(drawings) > 1:
        _refuse_sizes(graph, drawings[1][0], sizes, lines | drawings[1][1])
    if recorder.notes:
        graph.metadata = {**graph.metadata, "notes": recorder.notes}
    return Traced(
        graph, arguments, form, tuple(sizes), layouts, entries, places, large, numbers,
        lines, convert, restate, tuple(followed), recognised,
    )  # fmt: skip


def _with_reasons(error: UnsupportedError, unsaid: Mapping[str, Problem]) -> UnsupportedError:
    """The error; of a neuron's own code, with the reason why that is followed at all."""
    problem = error.problems[0]
    path = next((path for path in unsaid if problem.where.endswith(f"in module {path!r}")), None)
    if path is None:
        return error
    why = unsaid[path]
    said = f"{why.found}; expected {why.expected}" if why.expected else why.found
    text = f"{problem.remedy} (Module {path!r} is followed as no primitive says it: {said}.)"
    return UnsupportedError(replace(problem, remedy=text.lstrip()))


def _drawn(
    model: nn.Module,
    arguments: Arguments,
    form: Form,
    size: tuple[int, int],
    convert: Convert,
    followed: Sequence[nn.Module],
    seed: int,
    restate: Restate,
    made: dict[Any, Fragment],
    keep: bool,
    recognising: bool,
) -> tuple[Drawn, tuple[int, int]]:
    """The graph of a run with so many steps and samples, or the sample's where it takes no others.

    A model whose batch is merged with time may take other numbers of rows for something else.
    """
    tries = [size, (form.steps, size[1]), (size[0], form.batch), (form.steps, form.batch)]
    if form.held:
        tries = [(form.steps, size[1]), (form.steps, form.batch)]
    if form.single:
        tries = [size, (size[0], form.batch)]
    first: UnsupportedError | None = None
    for steps, batch in tries:
        turns = drawn(arguments, form, steps, batch, seed)
        try:
            run, _ = record(model, arguments, turns, convert, followed, form.single, keep)
            try:
                graph = _graph(
                    run, arguments, form, (steps, batch), convert, restate, made, recognising
                )
            except NumbersNeededError:
                run, _ = record(model, arguments, turns, convert, followed, form.single)
                graph = _graph(
                    run, arguments, form, (steps, batch), convert, restate, made, recognising
                )
        except ModelError as error:
            if isinstance(first, UnequalSequencesError) and not form.merged:
                break
            first = first or UnsupportedError(failed_at(error.problem, steps, batch, form))
            continue
        except UnsupportedError as error:
            # A model may go through as many steps as its author wrote, whatever it is given.
            unequal = isinstance(error, UnequalSequencesError)
            own_steps = unequal and (steps, batch) == size and steps != form.steps
            if not (form.merged or own_steps):
                raise _seen_with(error, steps, batch, form) from None
            first = first or error
            continue
        return graph, (steps, batch)
    assert first is not None
    raise first


def _seen_with(error: UnsupportedError, steps: int, batch: int, form: Form) -> UnsupportedError:
    """The error, saying on how much it was seen, if that is not what the sample has."""
    if form.single or (steps, batch) == (form.steps, form.batch):
        return error
    problem = error.problems[0]
    seen = f"(Seen with {steps} steps of {batch} samples; the sample has {form.steps} of "
    return UnsupportedError(replace(problem, remedy=f"{problem.remedy} {seen}{form.batch}.)"))


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
        _refuse_other_axes(name, value, layout_of(steps, value))
        if form.single:
            _refuse_other_order(name, steps, value[-1])  # type: ignore[index]
    final = [
        not form.single and not isinstance(v, list) and not steps.whole(v) for _, v, _ in named
    ]
    for (name, value, _), signal in zip(named, building.outputs, strict=True):
        _refuse_without_features(name, value, signal.features)
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


def _graph(
    run: Record,
    arguments: Arguments,
    form: Form,
    size: tuple[int, int],
    convert: Convert,
    restate: Restate,
    made: dict[Any, Fragment],
    recognising: bool,
) -> Drawn:
    sketch = sketched(run, arguments, form, size, convert, restate, made, recognising)
    try:
        graph = sketch.assembly.graph()
    except (GraphError, UnsupportedError) as error:
        if sketch.assembly.recognised():
            # Loops that no neuron cuts as Delays do: the operations still say it.
            return _graph(run, arguments, form, size, convert, restate, made, False)
        raise _placed(error, sketch, convert) from None
    return (
        graph,
        sketch.assembly.places(),
        tuple(layout_of(sketch.steps, value) for _, value, _ in sketch.named),
        tuple(sorted(sketch.building.inputs)),
        tuple(place for _, _, place in sketch.named),
        sketch.assembly.recognised(),
    )


def _placed(error: GraphError | UnsupportedError, sketch: Sketch, convert: Convert) -> T1CError:
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


def _refuse_other_axes(name: str, value: Value | list[Value], axes: Shapes) -> None:
    """Refuse an output without a batch, or with nothing else than that and time."""
    last = value[-1] if isinstance(value, list) else value
    place = last.call.place if last.call is not None else ""
    if not any(role == BATCH for dim in axes for role, _ in dim):
        raise UnsupportedError(
            Problem(
                f"output {name!r} has no batch axis: one answer for all samples",
                "an answer for each sample",
                "Leave sums and means over the batch, and the choice of one sample, out of the "
                "model.",
            )
        )
    if all(any(role is not None for role, _ in dim) for dim in axes):
        raise UnsupportedError(
            Problem(
                f"output {name!r} of shape {last.shape} has no features",
                "at least one axis behind the batch",
                "Use keepdim=True, or .unsqueeze(-1).",
                place,
            )
        )


def _refuse_without_features(name: str, value: Value | list[Value], shape: Sequence[int]) -> None:
    """Refuse an output of nothing, or of one number for each sample without an axis of its own."""
    last = value[-1] if isinstance(value, list) else value
    if 0 in shape or not shape:
        raise UnsupportedError(
            Problem(
                f"output {name!r} has the features {tuple(shape)}",
                "at least one axis of features, none of them empty",
                "Keep the axis, as x[:, 0:1] and keepdim=True do, or use x.unsqueeze(-1).",
                where="" if last.call is None else last.call.place,
            )
        )


def _refuse_other_order(name: str, steps: Steps, value: Value) -> None:
    """Refuse an output of a step model whose first axis is not the batch, or one that is time."""
    roles = [{leaf.role for leaf in leaves(dim)} for dim in steps.dims(value)]
    if value.constant:
        return  # It says so itself.
    if BATCH not in roles[0] or any(STILL in found for found in roles):
        raise UnsupportedError(
            Problem(
                f"output {name!r} of a model of single steps has an axis of its own for time, or "
                "in front of the batch",
                "an output (B, ...), as the input is",
                "Return y.squeeze(0) where it has one step, y.movedim(0, 1) where it has features.",
                where="" if value.call is None else value.call.place,
            )
        )


def results_of(run: Record, steps: Steps) -> list[Output]:
    """The outputs of a model: name, value and place, without those that are only states.

    Raises:
        UnsupportedError: there are none.
    """
    if steps.single:
        turns = [_named(result) for result in run.results]
        if any([o[0] for o in turn] != [o[0] for o in turns[0]] for turn in turns):
            raise UnsupportedError(
                Problem(
                    f"the model returns {' and '.join(_returned(turns))} at different calls",
                    "the same outputs at every call",
                    "Return the same tensors, under the same names, at every step.",
                )
            )
        found: list[Output] = [
            (name, [turn[at][1] for turn in turns], place)  # type: ignore[misc]
            for at, (name, _, place) in enumerate(turns[0])
        ]
    else:
        found = _named(run.results[0], steps)
    kept = _without_echoes([out for out in found if not _is_state(out[1])]) or found
    if not kept:
        raise UnsupportedError(
            Problem(
                f"the model returns {_kind(run.results[0])}",
                "at least one output of a module or operation",
                "Return what the model works out.",
            )
        )
    return kept


def _returned(turns: Sequence[Sequence[Output]]) -> list[str]:
    """The first two things that calls returned that are not alike."""
    said = [", ".join(name for name, _, _ in turn) or "nothing" for turn in turns]
    return list(dict.fromkeys(said))[:2]


def _kind(result: Any) -> str:
    return "None" if result is None else f"a {type(result).__name__}, which holds no tensor"


def _named(
    result: Any, steps: Steps | None = None, name: str = "output", place: Place = ()
) -> list[Output]:
    """What the model returned, depth first; a list of one value for each step is one output."""
    if isinstance(result, Value):
        return [(name, result, place)]
    if isinstance(result, Mapping):
        return [
            out
            for key, part in result.items()
            for out in _named(part, steps, str(key), (*place, key))
        ]
    if not isinstance(result, tuple | list):
        return []
    values = list(result)
    if (
        steps is not None
        and values
        and all(isinstance(v, Value) and not steps.whole(v) for v in values)
        and [steps.time(v) for v in values] == list(range(steps.count))
        and (len(values) > 1 or isinstance(result, list))
    ):
        return [(name, values, place)]
    found = [_named(p, steps, f"{name}_{i + 1}", (*place, i)) for i, p in enumerate(values)]
    return [out for part in found for out in part]


def _is_state(value: Value | list[Value]) -> bool:
    if isinstance(value, list):
        return all(_is_state(v) for v in value)
    if value.is_state:
        return True
    call = value.call
    joined = call is not None and call.name in ("stack", "cat", "unsqueeze")
    return joined and all(_is_state(v) for v in call.inputs)  # type: ignore[union-attr]


def _without_echoes(outputs: list[Output]) -> list[Output]:
    """The outputs less those that are an integrator's output once more, as its state."""
    kept: list[Output] = []
    seen: set[Any] = set()
    for name, value, place in outputs:
        key = tuple(value) if isinstance(value, list) else (value,)
        echoes = any(
            v.call is not None
            and v.call.neuron
            and any(s.tensor is v.tensor for s in v.call.states)
            for v in key
        )
        if echoes and key in seen:
            continue
        seen.add(key)
        kept.append((name, value, place))
    return kept


def _refuse_sizes(
    a: ir.Graph, b: ir.Graph, sizes: Sequence[tuple[int, int]], lines: Mapping[str, str]
) -> None:
    """Refuse a graph that holds numbers of the sizes that the model was run with."""
    if a.equals(b):
        return
    (steps, batch), (more, others) = sizes
    names = [
        name
        for name in (*a.nodes, *b.nodes)
        if name not in a.nodes or name not in b.nodes or not a.nodes[name].equals(b.nodes[name])
    ]
    line = (a.difference(b) or ["another order of nodes"])[0]
    raise UnsupportedError(
        Problem(
            f"the model computes something else with {steps} steps of {batch} samples than with "
            f"{more} steps of {others}: {line}",
            "a model whose numbers do not depend on how many steps or samples there are",
            "A mean over time is .mean(0) or .sum(0) / T behind the last step; leave other numbers "
            "of the sample's sizes, and what happens at some steps only, out of the model.",
            where=next((lines[name] for name in names if name in lines), "the model"),
        )
    )
