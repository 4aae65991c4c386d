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
from t1c.ir.errors import GraphError, Problem, UnsupportedError

from ..modules.exporting import Fragment
from .assemble import Restate
from .building import MembraneUsedError
from .calling import Arguments, ModelError, arguments_of, record, refused_model
from .first_step import NumbersNeededError
from .forms import Form, Shapes, drawn, form_of, layout_of
from .module_calls import Convert
from .outputs import Place
from .record import Record, Value, replaced
from .sized import failed_at
from .sketch import placed, sketched
from .steps import Steps, UnequalSequencesError
from .told import told_of_modules

Drawn = tuple[
    ir.Graph,
    dict[str, str],
    tuple[Shapes, ...],
    tuple[int, ...],
    tuple[Place, ...],
    frozenset[str],
]
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
    with told_of_modules(None):
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
        raise placed(error, sketch, convert) from None
    return (
        graph,
        sketch.assembly.places(),
        tuple(layout_of(sketch.steps, value) for _, value, _ in sketch.named),
        tuple(sorted(sketch.building.inputs)),
        tuple(place for _, _, place in sketch.named),
        sketch.assembly.recognised(),
    )


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
