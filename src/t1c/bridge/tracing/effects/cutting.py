"""Operations that take some of an axis, one of it, or all of it apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import axes
from ..axes import Atom, AxisError, Dims
from ..names import plain_name
from ..record import Call, Value
from .rules import DimsOf, argument, rule

UNTOLD = "an index by a mask, by several lists or tensors, or by what comes from the input"


@rule("__getitem__")
def _taken(call: Call, dims: DimsOf) -> list[Dims]:
    return [indexed(dims(call.inputs[0]), call.args[1], call.inputs[0].shape)]


def index_parts(index: Any, rank: int) -> list[Any]:
    """An index, one entry for each axis: an int, a slice; None for a new axis.

    One axis may be a tuple of places, where all others are slices: what comes out then has these in
    their order.

    Raises:
        AxisError: it picks by another list, by a mask, or by what comes from the input.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    parts = [_places(p) or p for p in parts]
    taking = [p for p in parts if p is not None and p is not ...]
    alone = sum(not isinstance(p, slice) for p in taking) == 1 and None not in parts
    for part in taking:
        if isinstance(part, tuple) and alone:
            continue
        if isinstance(part, bool) or not isinstance(part, int | slice):
            raise AxisError(UNTOLD)
        if isinstance(part, slice) and any(isinstance(p, Value) for p in _bounds(part)):
            raise AxisError(UNTOLD)
    missing = [slice(None)] * (rank - len(taking))
    if any(p is ... for p in parts):
        at = next(i for i, p in enumerate(parts) if p is ...)
        return [*parts[:at], *missing, *parts[at + 1 :]]
    return [*parts, *missing]


def _places(part: Any) -> tuple[int, ...]:
    """The places that a list or a constant tensor of integers names along one axis, if it does."""
    places = part if isinstance(part, list) else []
    if isinstance(part, Value) and part.constant and part.tensor.ndim == 1:
        # Bytes are a mask.
        places = part.tensor.tolist() if part.tensor.dtype in (torch.int64, torch.int32) else []
    return tuple(places) if all(type(place) is int for place in places) else ()


def _bounds(part: slice) -> tuple[Any, Any, Any]:
    return part.start, part.stop, part.step


def _sliced(dim: axes.Dim, n: int) -> Atom:
    """A part of an axis; what is left of one that was made longer may be what it was before."""
    found = axes.leaves(dim)
    before = part_of(dim)
    if before is not None and before.size == n:
        return before
    return Atom(n, part_of=found[0] if len(found) == 1 else None)


def indexed(dims: Dims, index: Any, shape: Sequence[int]) -> Dims:
    """The axes that an index leaves of those of a shape."""
    result: list[axes.Dim] = []
    axis = 0
    for part in index_parts(index, len(dims)):
        if part is None:
            result.append(())
            continue
        if isinstance(part, tuple):
            result.append((Atom(len(part)),))
        if isinstance(part, slice):
            n = len(range(*part.indices(shape[axis])))
            whole = n == shape[axis] and (part.step is None or part.step > 0)
            result.append(dims[axis] if whole else (_sliced(dims[axis], n),))
        axis += 1
    return tuple(result)


@rule("index_select")
def _picked(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    dim = argument(call, 1, "dim") % len(given)
    return [(*given[:dim], (Atom(call.outputs[0].shape[dim]),), *given[dim + 1 :])]


@rule("select")
def _selected(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    dim = argument(call, 1, "dim") % len(given)
    return [(*given[:dim], *given[dim + 1 :])]


@rule("unbind")
def _unbound(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    dim = argument(call, 1, "dim", 0) % len(given)
    return [(*given[:dim], *given[dim + 1 :])] * len(call.outputs)


@rule("chunk split tensor_split split_with_sizes narrow")
def _cut(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    narrow = call.name == "narrow"
    dim = argument(call, 1 if narrow else 2, "dim", 0) % len(given)
    if cut_apart(call, given):
        return [(*given[:dim], tuple(axes.leaves(given[dim])[1:]), *given[dim + 1 :])] * len(
            call.outputs
        )
    return [
        (
            *given[:dim],
            given[dim] if out.shape[dim] == axes.size(given[dim]) else (Atom(out.shape[dim]),),
            *given[dim + 1 :],
        )
        for out in call.outputs
    ]


def cut_apart(call: Call, given: Dims) -> bool:
    """Whether an axis is cut into the runs of its outermost part: (T, B) merged into T times B."""
    if plain_name(call.name) != "cut":
        return False
    dim = argument(call, 2, "dim", 0) % len(given)
    found, runs = axes.leaves(given[dim]), len(call.outputs)
    sizes = {out.shape[dim] for out in call.outputs}
    return runs > 1 and len(sizes) == 1 and bool(found) and found[0].size == runs


def part_of(dim: axes.Dim) -> Atom | None:
    """The axis that a part of it is, if it is one."""
    found = axes.leaves(dim)
    return found[0].part_of if len(found) == 1 else None
