"""Random models, exported: what comes out is equal, or nothing does.

``judged(model)`` compares the graph's run and its steps with the model itself, called as its user
calls it, at numbers of steps and samples that the exporter never saw. Single spikes may differ in
float32 where a membrane lies within rounding of its threshold, but not in float64 as well.
"""

import contextlib
import sys
import types
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from t1c import bridge, ir
from t1c.ir.errors import GraphWarning, T1CError

from .examples import examples
from .model_grammar import Crossing, Each, Held, Loop, Model, models

FORMS = {
    "step": lambda xs: xs,
    "time first": lambda xs: xs,
    "batch first": lambda xs: xs.transpose(0, 1),
    "time last": lambda xs: xs.movedim(0, -1),
    "held": lambda xs: xs[0],
}


@pytest.fixture(autouse=True)
def _pylab() -> None:
    """SpikingJelly's package imports pylab, which it does not need here."""
    sys.modules.setdefault("pylab", types.ModuleType("pylab"))


@dataclass
class Verdict:
    """What became of one model: 'exported', 'refused', 'different' or 'crashed'."""

    fate: str
    detail: str = ""
    compared: int = 0
    """Values of the model that are not 0 and were found equal."""

    @property
    def wrong(self) -> bool:
        return self.fate in ("different", "crashed")


@contextlib.contextmanager
def _dtype(dtype: torch.dtype) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def drawn(model: Model, steps: int, batch: int, start: int) -> torch.Tensor:
    """Inputs (T, B, *features), k/4 between -1 and 3."""
    generator = torch.Generator().manual_seed(start)
    shape = (steps, batch, *model.inputs)
    return torch.randint(-4, 13, shape, generator=generator) / 4


def truth(model: Model, module: torch.nn.Module, xs: torch.Tensor) -> torch.Tensor:
    """What the model gives from rest: (T, B, ...), or (B, ...) where its answer has no time."""
    with torch.no_grad():
        if model.form == "step":
            return torch.stack([module(x) for x in xs])
        found: torch.Tensor = module(FORMS[model.form](xs).contiguous())
    if model.final or not getattr(model, "back", False):
        return found
    return {"batch first": found.transpose(0, 1), "time last": found.movedim(-1, 0)}.get(
        model.form, found
    )


def ran(model: Model, graph: ir.Graph, xs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the graph gives at once, and step by step."""
    executor: Any = bridge.ir_to_torch(graph, return_state=True).to(xs.dtype)
    ((entry,), (answer,)) = graph.inputs().values(), graph.outputs().values()
    assert tuple(entry.shape) == model.inputs, f"an input of {tuple(entry.shape)}"
    state: Any = {}
    if model.hold and not entry.hold:
        # Without memory a value that is held gives what it gives once.
        with torch.no_grad():
            out, _ = executor(xs[0], state)
            once = out if model.final else out.expand(len(xs), *out.shape)
        return once, once
    assert bool(entry.hold) == bool(model.hold), f"held for {entry.hold} steps"
    assert bool(answer.final) == model.final, f"final = {answer.final}"
    steps = []
    with torch.no_grad():
        whole, _ = executor.run(xs[0] if model.hold else xs)
        # What leaves out some of the steps for which a value is held has a graph of fewer.
        for t in range(entry.hold or len(xs)):
            out, state = executor(xs[0] if model.hold else xs[t], state)
            steps.append(out)
    return whole, steps[-1] if model.final else torch.stack(steps)


def parted(found: torch.Tensor, wanted: torch.Tensor) -> str:
    """How two results differ by more than rounding; '' where they do not."""
    if found.shape != wanted.shape:
        return f"shape {tuple(found.shape)} for {tuple(wanted.shape)}"
    scale = wanted.abs().max() if wanted.numel() else torch.zeros(())
    off = ~((found - wanted).abs() <= 1e-4 * (1 + scale)) & ~(found.isnan() & wanted.isnan())
    most = (found - wanted).abs().max()
    return f"{int(off.sum())} of {off.numel()} values differ, by {most:g}" if off.any() else ""


def judged(model: Model, start: int = 0) -> Verdict:
    """The fate of one model; ``start`` seeds its inputs."""
    samples = drawn(model, 5, 2, start + 1)
    sample = samples[0] if model.form == "step" else FORMS[model.form](samples).contiguous()
    xs = drawn(model, model.hold or 16 + start % 15, 3, start)
    module = model.build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        try:
            graph = bridge.to_ir(module, sample)
        except T1CError as error:
            return Verdict("refused", str(error))
        except Exception as error:
            return Verdict("crashed", f"to_ir: {type(error).__name__}: {error}")
        wanted = truth(model, model.build(), xs)
        if not wanted.isfinite().all():
            return Verdict("exported", "not finite")
        if not torch.equal(truth(model, module, xs), wanted):
            return Verdict("different", "the export changed the model")
        try:
            differs = _differs(model, graph, xs, wanted)
        except Exception as error:
            return Verdict("crashed", f"run: {type(error).__name__}: {error}")
    if differs:
        return Verdict("different", differs)
    return Verdict("exported", "", int(wanted.count_nonzero()))


def _differs(model: Model, graph: ir.Graph, xs: torch.Tensor, wanted: torch.Tensor) -> str:
    try:
        found = [parted(each, wanted) for each in ran(model, graph, xs)]
    except AssertionError as error:
        return str(error)
    if not any(found):
        return ""
    with _dtype(torch.float64):
        wanted = truth(model, model.build(double=True), xs.double())
        again = [parted(each, wanted) for each in ran(model, graph, xs.double())]
    return f"run: {again[0] or 'equal'}; steps: {again[1] or 'equal'}" if any(again) else ""


def checked(model: Model, counts: Counter[str]) -> None:
    verdict = judged(model, start=len(repr(model)))
    assert not verdict.wrong, f"{verdict.fate}: {verdict.detail}\n{model!r}"
    counts[verdict.fate] += 1
    counts["compared"] += verdict.compared


@pytest.mark.slow
def test_random_models_are_exported_equal() -> None:
    counts: Counter[str] = Counter()

    # The same models each time, so that the share of those exported means something.
    @settings(max_examples=30, derandomize=True, database=None)
    @given(models())
    def each(model: Model) -> None:
        checked(model, counts)

    each()
    tried = counts["exported"] + counts["refused"]
    assert tried >= 20
    assert counts["exported"] >= 0.6 * tried, f"too much is refused: {counts}"
    assert counts["compared"] > 50 * counts["exported"], f"next to nothing happens: {counts}"


@pytest.mark.slow
@examples(30)
@given(models(trapped=True))
def test_what_no_step_can_say_is_refused_or_equal(model: Model) -> None:
    checked(model, Counter())


def test_a_value_held_for_steps_of_which_some_are_left_out() -> None:
    skipping = Loop((Each("torch.relu(x)"),), "range", "largest", "")
    model = Held((4,), (Crossing("x[::2]"), skipping), 4, "torch.stack([x] * {T})")
    counts: Counter[str] = Counter()
    checked(model, counts)
    assert counts["exported"] == 1
    assert counts["compared"] > 0
