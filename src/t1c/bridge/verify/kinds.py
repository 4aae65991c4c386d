"""Whether a module has a time loop of its own: found from evidence, or asked for."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from t1c.ir.errors import InputError, Problem

from ..engine.stateful import StatefulModule
from ..frameworks.over_time import layout_of
from ..modules.exporting import is_stepped
from .layouts import DEPENDS, Arrangement, Form, Wanted, arrange, independent, told_apart
from .modules import ModuleSide
from .trace import Trace, Xs, as_given, each, tensors

Kind = Literal["auto", "sequence", "step"]


def module_side(
    name: str,
    model: nn.Module,
    kind: Kind,
    xs: Xs,
    wanted: Wanted,
    dtype: torch.dtype | None,
) -> ModuleSide:
    """A module as a side; 'auto' tries both ways of calling it and looks at what happens.

    One that takes all steps in one call is handed them in the form that gives what is wanted.

    Raises:
        InputError: the model runs neither way, or nothing tells which is meant.
    """
    title = type(model).__name__

    def side(as_kind: str, remark: str, way: Arrangement | None = None) -> ModuleSide:
        label = f"{title}, {remark}{way or ''}"
        return ModuleSide(name, label, model, as_kind, wanted, dtype, way)

    if kind == "step":
        return side("step", "called step by step")
    layout = layout_of(model)
    known = None if layout is None else Form[layout.name]
    trying = side("sequence", "tried on the whole sequence")
    if kind == "sequence" or known is not None:
        way = arrange(trying.call, tensors(xs), wanted, known)
        remark = "with a time loop of its own" if kind == "sequence" else "which takes sequences"
        if kind == "auto" and not str(way):
            remark += f" {layout}"
        return side("sequence", remark, way)
    steps = len(tensors(xs)[0])
    apart = as_given(xs, told_apart(tensors(xs)))
    whole: Attempt | None = None
    try:
        way = arrange(trying.call, tensors(xs), wanted, None)
    except InputError as error:
        whole_error = "; ".join(map(str, error.problems))
    else:
        trying = side("sequence", "tried on the whole sequence", way)
        whole, whole_error = _attempt(trying, apart)
    stepping = side("step", "tried on one step")
    single, single_error = _attempt(stepping, each(apart, lambda x: x[:1]))
    if single is not None and whole is None:
        first = [x[:1] for x in tensors(apart)]
        if not independent(lambda given: stepping.trace(as_given(xs, given)).outputs, first):
            single, single_error = None, DEPENDS
    if whole is None and single is None:
        raise InputError(
            [
                Problem(
                    f"called with the whole sequence: {whole_error}", where=f"{name} ({title})"
                ),
                Problem(f"called with one step: {single_error}", where=f"{name} ({title})"),
            ],
            f"{name} cannot be run",
        )
    if whole is None:
        return side("step", "called step by step (it does not take a whole sequence)")
    if steps > 1:
        alone = single[1] if single is not None else {}
        # Given one value, a model that runs a part so many times does so whenever it is called.
        once = Form.ONCE in way.takes
        often = [n for n, calls in whole[1].items() if calls == steps]
        loop = [n for n in often if once or alone.get(n) != steps]
        own = "with a time loop of its own"
        if loop:
            return side("sequence", f"{own} (it ran {loop[0]!r} {steps} times)", way)
        if once and any(form is not Form.ONCE for form in way.gives.values()):
            return side("sequence", f"{own} (it makes {steps} steps of one value)", way)
        neuron = _one_step_neuron(model, whole[1])
        if neuron is not None and single is not None:
            return side(
                "step", f"called step by step (its neuron {neuron!r} takes one step a call)"
            )
    if single is None and str(way):
        return side("sequence", "which takes no single step", way)
    stepped, _ = _attempt(side("step", "tried step by step"), apart)
    if stepped is not None and _same(stepped[0], whole[0]):
        if Form.ONCE in way.takes:
            return side("sequence", "which gives the same at every call", way)
        return side("step", "called step by step (a whole sequence gives the same)")
    raise InputError(
        Problem(
            f"nothing tells whether this {title} takes one step per call or a whole sequence",
            "one of the two",
            f"Pass {name}_kind='step' or {name}_kind='sequence'.",
            name,
        )
    )


Attempt = tuple[Trace, dict[str, int]]


def _attempt(side: ModuleSide, xs: Xs) -> tuple[Attempt | None, str]:
    """What came of running it; a model may fail in any way on an input not meant for it."""
    try:
        return side.observe(xs), ""
    except Exception as error:
        first = (str(error).strip() or "no message").splitlines()[0]
        return None, f"{type(error).__name__}: {first}"


def _one_step_neuron(model: nn.Module, calls: dict[str, int]) -> str | None:
    """A neuron that knows one step at a time, and was called once."""
    for path, part in model.named_modules():
        one_step = (
            isinstance(part, StatefulModule)
            or callable(getattr(part, "fire", None))
            or is_stepped(part)
        )
        if one_step and (not path or calls.get(path) == 1):
            return path or type(part).__name__
    return None


def _same(a: Trace, b: Trace) -> bool:
    return all(torch.equal(a.outputs[name], b.outputs[name]) for name in a.outputs)
