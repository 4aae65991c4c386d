"""Operations that say the same elements in other axes, or more of the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import axes
from ..axes import Atom, AxisError, Dims, broadcast, fresh, regroup
from ..record import Call
from .rules import DimsOf, argument, rule


@rule("view reshape flatten unflatten squeeze unsqueeze view_as reshape_as ravel _unsafe_view")
def regrouped(call: Call, dims: DimsOf) -> list[Dims]:
    """The axes of the same elements in another shape."""
    return [regroup(dims(call.inputs[0]), call.outputs[0].shape)]


@rule("permute transpose t swapaxes swapdims movedim moveaxis T mT adjoint numpy_T transpose_")
def _permuted(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    return [tuple(given[i] for i in permutation(call))]


def permutation(call: Call) -> list[int]:
    """Where each axis of the result was before."""
    rank = len(call.inputs[0].shape)
    seen = torch.empty(tuple(range(1, rank + 1)), device="meta")
    name = call.name.removesuffix("_")
    attributes = {"T": lambda x: x.T, "mT": lambda x: x.mT}
    if name in attributes:
        moved = attributes[name](seen)
    else:
        moved = getattr(torch, name)(seen, *_plain(call.args[1:]), **call.kwargs)
    return [n - 1 for n in moved.shape]


def _plain(args: Sequence[Any]) -> list[Any]:
    """``permute(0, 2, 1)`` and ``permute((0, 2, 1))`` alike, as torch's functions take them."""
    if len(args) > 2 and all(isinstance(a, int) for a in args):
        return [tuple(args)]
    return list(args)


@rule("expand expand_as broadcast_to")
def _expanded(call: Call, dims: DimsOf) -> list[Dims]:
    given, shape = dims(call.inputs[0]), call.outputs[0].shape
    lead = len(shape) - len(given)
    result = list(fresh(shape[:lead], free=True))
    for dim, n in zip(given, shape[lead:], strict=True):
        result.append(dim if axes.size(dim) == n else (Atom(n, free=True),))
    if call.name == "expand_as" and len(call.inputs) > 1:
        result = list(broadcast([tuple(result), dims(call.inputs[1])]))
    return [tuple(result)]


@rule("repeat tile")
def _repeated(call: Call, dims: DimsOf) -> list[Dims]:
    given, shape = dims(call.inputs[0]), call.outputs[0].shape
    empty: axes.Dim = ()
    given = (*[empty] * (len(shape) - len(given)), *given)
    result: list[axes.Dim] = []
    for dim, n in zip(given, shape, strict=True):
        times = n // max(axes.size(dim), 1)
        inner = dim if axes.size(dim) > 1 else ()
        result.append(dim if times == 1 else (Atom(times, free=True), *inner))
    return [tuple(result)]


@rule("repeat_interleave")
def _interleaved(call: Call, dims: DimsOf) -> list[Dims]:
    given = list(dims(call.inputs[0]))
    dim = argument(call, 2, "dim")
    if dim is None:
        raise AxisError("repeat_interleave without dim flattens its input")
    dim %= len(given)
    times = call.outputs[0].shape[dim] // axes.size(given[dim])
    outer = given[dim] if axes.size(given[dim]) > 1 else ()
    given[dim] = (*outer, Atom(times, free=True))
    return [tuple(given)]
