"""Other shapes: reshapes, permutations, parts, and what joins them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from t1c import ir

from ...modules.exporting import refuse
from .. import axes
from ..drawing import Signal
from ..effects.cutting import index_parts
from ..effects.elementwise import picked_in_rows
from ..effects.rules import argument
from ..effects.shape import permutation
from ..record import Value
from .along import in_pieces, joined, picked
from .comparison import chosen
from .picking import written_at
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


@rule("flatten")
def _regroup(b: Bench) -> Signal:
    return b.reshaped(b.x(), b.out())


@rule("transpose")
def _transpose(b: Bench) -> Signal:
    x = b.call.inputs[0]
    before = axes.features(b.dims(x))
    order = [before.index(i) for i in permutation(b.call) if i in before]
    signal = b.x()
    if order == sorted(order):
        return signal
    return b.emit(ir.Transpose(tuple(order)), signal)


@rule("expand expand_as broadcast_to repeat tile repeat_interleave")
def _expand(b: Bench) -> Signal:
    x, out = b.x(), b.out()
    if math.prod(x.features) == math.prod(out):
        return b.reshaped(x, out)
    given = (1,) * (len(out) - len(x.features)) + x.features
    inner: list[int] = []
    copies: list[int] = []
    for n, m in zip(given, out, strict=True):
        each = b.call.name == "repeat_interleave"
        inner += (n, 1) if each else (1, n)
        copies += (n, m // n) if each else (m // n, n)
    return b.reshaped(b.copied(b.reshaped(x, tuple(inner)), tuple(copies)), out)


@rule("cut")
def _cut(b: Bench) -> Sequence[Signal]:
    call = b.call
    x = call.inputs[0]
    dim = argument(call, 2, "dim", 0)
    axis = b.feature_axis(x, dim)
    sections = tuple(out.shape[dim] for out in call.outputs)
    if len(sections) == 1:
        return [b.x()]
    if len(b.used) == len(sections):
        return b.split(ir.ChannelSplit(sections, axis), b.x())
    starts = [sum(sections[:port]) for port in range(len(sections))]
    return [
        b.slice(b.x(), axis, start, start + n) if port in b.used else b.unsaid("an unused part")
        for port, (start, n) in enumerate(zip(starts, sections, strict=True))
    ]


@rule("unbind")
def _unbind(b: Bench) -> Sequence[Signal]:
    x = b.call.inputs[0]
    axis = b.feature_axis(x, argument(b.call, 1, "dim", 0))
    return [b.reshaped(b.slice(b.x(), axis, i, i + 1), b.out()) for i in range(x.shape[0])]


@rule("getitem")
def _take(b: Bench) -> Signal:
    call = b.call
    x = call.inputs[0]
    rank = len(x.shape)
    if call.name == "__getitem__":
        parts = index_parts(call.args[1], rank)
    else:
        dim = argument(call, 1, "dim") % rank
        if call.name == "select":
            part: Any = argument(call, 2, "index")
        else:
            start = argument(call, 2, "start")
            part = slice(start, start + argument(call, 3, "length"))
        parts = [slice(None)] * rank
        parts[dim] = part
    signal, axis = b.x(), 0
    for part in parts:
        if part is None:
            continue
        n = x.shape[axis]
        if isinstance(part, tuple):
            signal = picked(b, signal, b.feature_axis(x, axis), [place % n for place in part])
            axis += 1
            continue
        chosen = range(n)[part] if isinstance(part, slice) else range(n)[part : part + 1 or None]
        if isinstance(part, int):
            k = part % n
            chosen = range(k, k + 1)
        if list(chosen) != list(range(n)):
            at = b.feature_axis(x, axis)
            if chosen.step < 1:
                raise refuse("a slice that runs backwards", "one that runs forwards")
            signal = b.slice(signal, at, chosen.start, chosen.stop, chosen.step)
        axis += 1
    return b.reshaped(signal, b.out())


@rule("index_select")
def _select_by_index(b: Bench) -> Signal:
    x = b.call.inputs[0]
    dim, index = argument(b.call, 1, "dim"), argument(b.call, 2, "index")
    if not b.is_constant(index):
        raise refuse("an index that comes from the input", "one that is always the same")
    places = [int(place) for place in index.tensor.reshape(-1)]
    return picked(b, b.x(), b.feature_axis(x, dim), places)


@rule("cat")
def _concatenate(b: Bench) -> Signal:
    call = b.call
    dim = argument(call, 1, "dim", 0)
    out = call.outputs[0]
    if len(set(call.inputs)) == 1:
        lead = axes.is_lead(b.dims(out)[dim % len(out.shape)])
        if lead or len(call.inputs) == 1:
            return b.x()  # copies along time, or a piece by itself
    if any(map(b.steps.whole, call.inputs)) and not b.steps.whole(out):
        raise refuse(
            "a sequence of another number of steps",
            "as many steps as the model is given",
            "Keep to torch.cat([zeros, x[:-k]]) for what comes later.",
        )
    axis = b.feature_axis(out, dim)
    parts = []
    for value in call.inputs:
        if value.constant:
            raise refuse("a concatenation with a constant", "values that come from the input")
        parts.append(b.signal(value))
    if len(parts) == 1:
        return parts[0]
    return joined(b, axis, parts)


@rule("stack")
def _stack(b: Bench) -> Signal:
    call = b.call
    out = call.outputs[0]
    dim = argument(call, 1, "dim", 0) % len(out.shape)
    if axes.is_lead(b.dims(out)[dim]):
        return b.x()  # copies along time or the batch
    axis = b.feature_axis(out, dim)
    parts = []
    for value in call.inputs:
        shape = (*b.out()[:axis], 1, *b.out()[axis + 1 :])
        parts.append(b.reshaped(b.signal(value), shape))
    if len(parts) == 1:
        return parts[0]
    return joined(b, axis, parts)


@rule("roll")
def _roll(b: Bench) -> Signal:
    x = b.call.inputs[0]
    shifts, dims = argument(b.call, 1, "shifts"), argument(b.call, 2, "dims", ())
    if isinstance(shifts, int):
        shifts = (shifts,)
    dims = (dims,) if isinstance(dims, int) else tuple(dims or ())
    if not dims:
        raise refuse("a roll without dims, which goes on from sample to sample", "dims=-1")
    signal = b.x()
    for shift, dim in zip(shifts, dims, strict=True):
        axis, n = b.feature_axis(x, dim), x.shape[dim]
        if shift % n:
            cut = n - shift % n
            signal = in_pieces(b, signal, axis, [*range(cut, n), *range(cut)])
    return signal


@rule("flip fliplr flipud")
def _flip(b: Bench) -> Signal:
    x = b.call.inputs[0]
    found = {"fliplr": (1,), "flipud": (0,)}.get(b.call.name)
    if found is None:
        found = argument(b.call, 1, "dims")
        found = b.call.args[1:] if isinstance(found, int) else found
    signal = b.x()
    for dim in found:
        axis, n = b.feature_axis(x, dim), x.shape[dim]
        signal = in_pieces(b, signal, axis, range(n - 1, -1, -1))
    return signal


@rule("__setitem__")
def _write(b: Bench) -> Signal:
    call = b.call
    base, index, value = call.inputs[0], call.args[1], call.args[2]
    masks = isinstance(index, Value) and index.tensor.dtype == torch.bool
    if masks and index.shape == base.shape and b.is_constant(value):
        return chosen(b, index, value, base)
    column = picked_in_rows(call)
    if column is not None and b.is_constant(value) and b.number(value) is not None:
        return written_at(b, base, 1, column, value)
    full = index in (..., slice(None)) or (
        isinstance(index, tuple) and all(p in (..., slice(None)) for p in index)
    )
    if full and isinstance(value, Value) and not value.constant and value.shape == base.shape:
        return b.signal(value)
    raise refuse(
        "a write into a part of a tensor",
        "whole values, or out[t] = ... for every step",
        "Use torch.where, torch.cat or torch.stack.",
    )
