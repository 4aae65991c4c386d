"""A model against the graph that is made of it."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from t1c import bridge, ir

from .compare import Count, count, same_shape
from .entry import Entry
from .memory import peak
from .neurons import is_spikes, sent
from .prepare import HIGH, LOW, prepare
from .verdict import Found

Export = Callable[[nn.Module, Any], ir.Graph]

# Differing spikes that verify may explain by rounding: one in ten thousand.
FEW = 1e-4


def check(entry: Entry, export: Export = bridge.to_ir) -> Found:
    """Exports a model and runs both on an input that the export has not seen.

    No error leaves this: it is what is found.

    Args:
        entry: the model.
        export: makes the graph, of the model and a sample.
    """
    found = Found(entry.framework, entry.name, refusal=entry.refusal)
    if entry.after is not None:
        check(entry.after, export)
    try:
        model = entry.model()
        found.parameters = sum(p.numel() for p in model.parameters())
        rates = prepare(entry, model)
        found.layers = len(rates)
        if rates:
            found.rates = min(rates.values()), max(rates.values())
            found.silent = sum(not LOW <= rate <= HIGH for rate in rates.values())
        graph = _export(entry, model, export, found)
    except Exception as error:
        found.verdict, found.why = _named(error)
        return found
    try:
        _compare(entry, model, graph, found)
    except Exception as error:
        # It was exported, so that an error of t1c refuses nothing: this is another model's graph.
        found.verdict = "WRONG" if isinstance(error, ir.T1CError) else "CRASH"
        found.why = f"the graph does not run: {type(error).__name__}: {_first_line(error)}"
    return found


def _named(error: Exception) -> tuple[str, str]:
    if isinstance(error, ir.T1CError):
        return "REFUSED", _first_line(error)
    return "CRASH", f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    """Without the folders that differ from machine to machine."""
    line = next(iter(str(error).strip().splitlines()), "")
    return re.sub(r"(/[^\s:]*)?/(site-packages|benchmarks)/", "", line)


def _export(entry: Entry, model: nn.Module, export: Export, found: Found) -> ir.Graph:
    sample = entry.layout.sample(entry.input(entry.steps, entry.batch, seed=2))
    start = time.perf_counter()
    try:
        with peak() as memory:
            graph = export(model, sample)
    finally:
        found.export_seconds = time.perf_counter() - start
    found.nodes, found.kind = len(graph.nodes), _kind(graph)
    size = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    found.export_bytes = memory.bytes
    if memory.bytes is not None and size:
        found.export_times = memory.bytes / size
    return graph


def _kind(graph: ir.Graph) -> str:
    kinds = {type(node) for node in graph.nodes.values()}
    if ir.MatMul in kinds:
        return "attention"
    return "convolutional" if kinds & {ir.Conv2d, ir.SepConv2d, ir.Conv3d} else "other"


def _compare(entry: Entry, model: nn.Module, graph: ir.Graph, found: Found) -> None:
    """Fills in what differs, the verdict, and how long both take."""
    # Sums in torch's own order: what differs then is the graph's doing.
    executor = bridge.ir_to_torch(graph, events=False)
    xs = entry.input(*entry.fresh, seed=3)
    outputs, spikes, said = differences(entry, model, graph, executor, xs)
    found.values_off, found.values = outputs.differing, outputs.compared
    found.spikes_off, found.spikes = spikes.differing, spikes.compared
    if said:
        found.verdict, found.why = "WRONG", said
    elif not outputs.differing and not spikes.differing:
        found.verdict = "EXACT"
    else:
        found.verdict, found.why = _explain(entry, graph, xs, outputs, spikes)
    if said:
        return
    fast = bridge.ir_to_torch(graph)
    _compare_fast(entry, graph, executor, fast, xs, found)
    found.model_seconds, found.graph_seconds = _times(entry, model, graph, fast, xs)


def _compare_fast(
    entry: Entry, graph: ir.Graph, exact: Any, fast: Any, xs: Tensor, found: Found
) -> None:
    """Counts what the fastest order of sums changes; that it is no more shows in float64."""
    given = _given(entry, graph, xs)
    off = _apart(exact, fast, given)
    found.fast_off = off.differing
    if off.differing:
        kinds = {"dtype": torch.float64}
        precise = bridge.ir_to_torch(graph, events=False, **kinds)
        left = _apart(precise, bridge.ir_to_torch(graph, **kinds), given.double())
        if left.differing:
            found.verdict = "WRONG"
            found.why = f"run by default it differs in float64: {left.differing} of {left.compared}"


def _apart(exact: Any, fast: Any, given: Tensor) -> Count:
    with torch.no_grad():
        sides = [executor.run(given)[0] for executor in (exact, fast)]
    named = [side if isinstance(side, dict) else {"": side} for side in sides]
    return sum((count(want, named[1][name]) for name, want in named[0].items()), Count())


def differences(
    entry: Entry, model: nn.Module, graph: ir.Graph, executor: Any, xs: Tensor
) -> tuple[Count, Count, str]:
    """Differing values, differing spikes, and what cannot be compared at all ("" if nothing).

    Spikes are those that the model returns, and those of each neuron module that is a node, or a
    nested graph, under its own path.
    """
    want: list[Tensor] = []
    recorded = sent(model, lambda: want.extend(entry.run(model, xs)))
    with torch.no_grad():
        outs, _ = executor.run(_given(entry, graph, xs))
        traced = executor.trace(_sequence(entry, xs))
    values, spikes = Count(), Count()
    named = outs if isinstance(outs, dict) else {next(iter(graph.outputs())): outs}
    for name, mine in _answers(want, list(named)).items():
        got = named[name]
        if not same_shape(mine, got):
            return values, spikes, f"{name}: {tuple(got.shape)}, and {tuple(mine.shape)} in torch"
        if is_spikes(mine):
            spikes += count(mine, got)
        else:
            values += count(mine, got)
    steps = entry.steps_of(xs)
    batch = xs.shape[0 if entry.layout.held else 1]
    for name, mine in recorded.items():
        # A neuron that is a graph sends what its Output does.
        got = traced.get(name, traced.get(f"{name}/output"))
        mine = entry.layout.time_first(mine, steps, batch)
        # A readout's node sends the membrane where its module sends spikes first.
        if isinstance(got, Tensor) and is_spikes(mine) and is_spikes(got) and same_shape(mine, got):
            spikes += count(mine, got)
    if not values.compared + spikes.compared:
        return values, spikes, "nothing to compare"
    return values, spikes, ""


def _given(entry: Entry, graph: ir.Graph, xs: Tensor) -> Tensor:
    """What ``run`` takes: one image if the graph holds it still, or a sequence."""
    held = any(getattr(node, "hold", None) for node in graph.inputs().values())
    return xs if held else _sequence(entry, xs)


def _sequence(entry: Entry, xs: Tensor) -> Tensor:
    return xs.expand(entry.steps, *xs.shape) if entry.layout.held else xs


def _answers(want: list[Tensor], names: list[str]) -> dict[str, Tensor]:
    """The model's tensors by the graph's outputs that stand for them.

    A graph may leave states out, or give them besides; ``output_2`` says which of several is meant.
    """
    if len(want) == len(names):
        return dict(zip(names, want, strict=True))
    found = {}
    for name in names:
        number = re.fullmatch(r"output(?:_(\d+))?", name)
        if number and int(number[1] or 1) <= len(want):
            found[name] = want[int(number[1] or 1) - 1]
    return found


def _explain(
    entry: Entry, graph: ir.Graph, xs: Tensor, outputs: Count, spikes: Count
) -> tuple[str, str]:
    """Whether the order of sums explains what differs.

    In float64 rounding is a thousand million times smaller and flips nothing, so that two sides
    that agree there compute the same.
    """
    said = f"{outputs.differing + spikes.differing} of {outputs.compared + spikes.compared} differ"
    double = entry.model()
    prepare(entry, double)
    double = double.double()
    executor = bridge.ir_to_torch(graph, dtype=torch.float64, events=False)
    try:
        with in_float64():
            again = differences(entry, double, graph, executor, xs.double())
    except Exception as error:
        again, why = None, f"not run in float64: {_first_line(error)}"
    else:
        left, of = again[0] + again[1], again[2]
        if not left.differing and not of:
            return "ROUNDED", "the same in float64"
        why = f"in float64 {left.differing} of {left.compared}"
    if spikes.compared and spikes.differing <= FEW * spikes.compared and not outputs.differing:
        entry.rest(double)
        report = bridge.verify(double.float(), graph, _sequence(entry, xs))
        if report.within_rounding:
            return "ROUNDED", "within rounding of the threshold"
    return "WRONG", f"{said}; {why}"


@contextmanager
def in_float64() -> Iterator[None]:
    """What models make on the way is float64 too: by ``torch.zeros``, by ``.float()``."""
    with patch.object(torch.Tensor, "float", torch.Tensor.double):
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


def _times(
    entry: Entry, model: nn.Module, graph: ir.Graph, executor: Any, xs: Tensor
) -> tuple[float, float]:
    """Seconds of a run of each: the middle of three, in turns."""
    given = _given(entry, graph, xs)

    def run_graph() -> None:
        with torch.no_grad():
            executor.run(given)

    mine, theirs = [], []
    for _ in range(3):
        mine.append(_seconds(lambda: entry.run(model, xs)))
        theirs.append(_seconds(run_graph))
    return statistics.median(mine), statistics.median(theirs)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
