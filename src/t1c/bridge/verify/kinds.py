"""Whether a module has a time loop of its own: found from evidence, or asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from t1c.ir.errors import InputError, Problem

from ..exporting import is_stepped
from ..over_time import layout_of
from ..stateful import StatefulModule
from .modules import ModuleSide
from .trace import Trace, Xs, each, tensors

Kind = Literal["auto", "sequence", "step"]


def module_side(
    name: str,
    model: nn.Module,
    kind: Kind,
    xs: Xs,
    outputs: Sequence[str],
    dtype: torch.dtype | None,
) -> ModuleSide:
    """A module as a side; 'auto' tries both ways of calling it and looks at what happens.

    Raises:
        InputError: the model runs neither way, or nothing tells which is meant.
    """
    title = type(model).__name__

    def side(as_kind: str, remark: str) -> ModuleSide:
        return ModuleSide(name, f"{title}, {remark}", model, as_kind, outputs, dtype)

    if kind == "sequence":
        return side("sequence", "with a time loop of its own")
    if kind == "step":
        return side("step", "called step by step")
    layout = layout_of(model)
    if layout is not None:
        return side("sequence", f"which takes sequences {layout}")
    steps = len(tensors(xs)[0])
    whole, whole_error = _attempt(side("sequence", "tried on the whole sequence"), xs)
    single, single_error = _attempt(side("step", "tried on one step"), each(xs, lambda x: x[:1]))
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
        loop = [n for n, calls in whole[1].items() if calls == steps and alone.get(n) != steps]
        if loop:
            return side(
                "sequence", f"with a time loop of its own (it ran {loop[0]!r} {steps} times)"
            )
        neuron = _one_step_neuron(model, whole[1])
        if neuron is not None and single is not None:
            return side(
                "step", f"called step by step (its neuron {neuron!r} takes one step a call)"
            )
    stepped, _ = _attempt(side("step", "tried step by step"), xs)
    if stepped is not None and _same(stepped[0], whole[0]):
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
