"""Layers, as functions and as modules: which axes they leave as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from .. import axes
from ..axes import Atom, Dims, fresh
from ..record import Call, Value
from .rules import DimsOf, rule
from .shape import regrouped


@rule("linear")
def _last(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    return [(*given[:-1], (Atom(call.outputs[0].shape[-1]),))]


@rule("lstm_cell")
def _lstm_cell(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    return [(*given[:-1], (Atom(out.shape[-1]),)) for out in call.outputs]


@rule(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d max_pool1d max_pool2d max_pool3d"
    " avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"
    " adaptive_max_pool1d adaptive_max_pool2d interpolate upsample pixel_shuffle pixel_unshuffle"
    " boolean_dispatch lp_pool2d"
)
def _first_only(call: Call, dims: DimsOf) -> list[Dims]:
    return _first_kept(dims(call.inputs[0]), call.outputs)


def _first_kept(given: Dims, outputs: Sequence[Value], lead: int = 1) -> list[Dims]:
    return [(*given[:lead], *fresh(out.shape[lead:])) for out in outputs]


def of_module(call: Call, dims: DimsOf) -> list[Dims]:
    """Neurons and what works element by element keep all axes, a Linear all but the last."""
    module, x = call.module, call.inputs[0]
    given = dims(x)
    assert module is not None
    kind = axes_kept(call)
    if kind == "all" and all(out.shape == x.shape for out in call.outputs):
        return [given] * len(call.outputs)
    if kind == "last":
        return _last(call, dims)
    if isinstance(module, torch.nn.Flatten | torch.nn.Unflatten) and not call.whole:
        return regrouped(call, dims)
    return _first_kept(given, call.outputs, leading(call, given))


def leading(call: Call, given: Dims) -> int:
    """How many of the first axes a layer leaves alone."""
    if axes_kept(call) == "last":
        return max(len(given) - 1, 0)
    if call.whole:
        from ...frameworks.over_time import Layout, layout_of_one

        return 1 if layout_of_one(call.module) is Layout.MERGED else 2  # type: ignore[arg-type]
    known = 0
    while known < len(given) and axes.roles(given[known]) & {axes.TIME, axes.BATCH}:
        known += 1
    return max(known, 1) if axes_kept(call) == "" else 1


KEPT: Mapping[type[torch.nn.Module], str] = {
    torch.nn.Linear: "last",
    **dict.fromkeys(
        [
            torch.nn.ReLU,
            torch.nn.LeakyReLU,
            torch.nn.Sigmoid,
            torch.nn.Tanh,
            torch.nn.GELU,
            torch.nn.ELU,
            torch.nn.PReLU,
            torch.nn.Softmax,
            torch.nn.LogSoftmax,
            torch.nn.LayerNorm,
            torch.nn.Identity,
            torch.nn.Dropout,
            torch.nn.Dropout1d,
            torch.nn.Dropout2d,
            torch.nn.Dropout3d,
            torch.nn.BatchNorm1d,
            torch.nn.BatchNorm2d,
            torch.nn.BatchNorm3d,
            torch.nn.GroupNorm,
        ],
        "all",
    ),
    **dict.fromkeys(
        [
            torch.nn.Conv1d,
            torch.nn.Conv2d,
            torch.nn.Conv3d,
            torch.nn.MaxPool1d,
            torch.nn.MaxPool2d,
            torch.nn.AvgPool1d,
            torch.nn.AvgPool2d,
            torch.nn.Upsample,
            torch.nn.AdaptiveAvgPool2d,
            torch.nn.AdaptiveMaxPool2d,
            torch.nn.ConvTranspose2d,
        ],
        "first",
    ),
}
"""Kind of module -> which axes it leaves as they are."""


def axes_kept(call: Call) -> str:
    """'all', 'last' (all but the last), 'first' (the first only), '' (a module of the user's)."""
    if call.neuron:
        return "all"
    found = next((KEPT[c] for c in type(call.module).__mro__ if c in KEPT), "")
    if found == "last" and call.whole:
        return "last"
    return found
