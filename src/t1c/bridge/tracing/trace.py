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
from t1c.ir.errors import Problem, UnsupportedError

from ..exporting import Fragment
from .assemble import Assembly, Restate, Result
from .axes import BATCH
from .building import Building, MembraneUsedError
from .calling import Arguments, ModelError, arguments_of, record, refused_model
from .families import Families
from .first_step import NumbersNeededError
from .forms import Form, Shapes, drawn, form_of, layout_of
from .module_calls import Convert
from .record import Record, Value, replaced
from .steps import Steps

Drawn = tuple[ir.Graph, dict[str, str], tuple[Shapes, ...], tuple[int, ...], tuple["Place", ...]]
Place = tuple[Any, ...]
"""The keys that lead to a part of nested outputs."""
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
    """

    graph: ir.Graph
    arguments: Arguments
    form: Form
    sizes: tuple[tuple[int, int], ...]
    layouts: tuple[Shapes, ...]
    entries: tuple[int, ...]
    places: tuple[Place, ...]
    large: bool

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


def traced(model: nn.Module, sample: Any, convert: Convert, restate: Restate) -> Traced:
    """The graph of a model.

    Raises:
        UnsupportedError: the model does what no graph can say.
    """
    followed: list[nn.Module] = []
    while True:
        try:
            return _traced(model, sample, convert, restate, followed)
        except MembraneUsedError as error:
            if any(m is error.module for m in followed):
                raise UnsupportedError(error.problem) from None
            followed.append(error.module)


def _traced(
    model: nn.Module,
    sample: Any,
    convert: Convert,
    restate: Restate,
    followed: Sequence[nn.Module],
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
    form = form_of(Steps(seen, {}, single=False), arguments)
    numbers = sum(v.tensor.numel() for c in seen.calls for v in c.outputs if not c.constant)
    large = numbers / (form.steps * form.batch) > LARGE
    del seen
    made: dict[Any, Fragment] = {}
    drawings: list[Drawn] = []
    sizes: list[tuple[int, int]] = []
    for seed, wanted in enumerate(FEWER if large else SIZES):
        drawing, size = _drawn(
            model, arguments, form, wanted, convert, followed, seed, restate, made, not large
        )
        if seed and size == sizes[0]:
            break
        sizes.append(size)
        drawings.append(drawing)
    graph, lines, layouts, entries, places = drawings[0]
    if len(drawings) > 1:
        _refuse_sizes(graph, drawings[1][0], sizes, lines | drawings[1][1])
    if recorder.notes:
        graph.metadata = {**graph.metadata, "notes": recorder.notes}
    return Traced(graph, arguments, form, tuple(sizes), layouts, entries, places, large)


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
                graph = _graph(run, arguments, form, (steps, batch), convert, restate, made)
            except NumbersNeededError:
                run, _ = record(model, arguments, turns, convert, followed, form.single)
                graph = _graph(run, arguments, form, (steps, batch), convert, restate, made)
        except ModelError as error:
            first = first or refused_model(error)
            continue
        except UnsupportedError as error:
            if not form.merged:
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


def _graph(
    run: Record,
    arguments: Arguments,
    form: Form,
    size: tuple[int, int],
    convert: Convert,
    restate: Restate,
    made: dict[Any, Fragment],
) -> Drawn:
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
    building = Building(families, convert, made)
    for name, value, _ in named:
        _refuse_other_axes(name, value, layout_of(steps, value))
    final = [
        not form.single and not isinstance(v, list) and not steps.whole(v) for _, v, _ in named
    ]
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
    assembly = Assembly(building.drawing, inputs, results, restate)
    graph = assembly.graph()
    return (
        graph,
        assembly.places(),
        tuple(layout_of(steps, value) for _, value, _ in named),
        tuple(sorted(building.inputs)),
        tuple(place for _, _, place in named),
    )


def _refuse_other_axes(name: str, value: Value | list[Value], axes: Shapes) -> None:
    """Refuse an output without a batch, or with nothing else than that and time."""
    last = value[-1] if isinstance(value, list) else value
    place = last.call.place if last.call is not None else ""
    if not any(role == BATCH for dim in axes for role, _ in dim):
        raise UnsupportedError(
            Problem(
                f"output {name!r} has no batch axis",
                "an answer for each sample",
                "Leave sums and means over the batch out of the model.",
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


Output = tuple[str, "Value | list[Value]", "Place"]


def results_of(run: Record, steps: Steps) -> list[Output]:
    """The outputs of a model: name, value and place, without those that are only states.

    Raises:
        UnsupportedError: there are none.
    """
    if steps.single:
        turns = [_named(result) for result in run.results]
        if any([o[0] for o in turn] != [o[0] for o in turns[0]] for turn in turns):
            raise UnsupportedError(
                Problem("the model returns something else at every call", "the same outputs")
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
            Problem("the model returns no tensor", "at least one output of a module or operation")
        )
    return kept


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
