"""Operations that leave every element where it is, and writes into some of them."""

from __future__ import annotations

import torch

from .. import axes
from ..axes import Atom, AxisError, Dims, broadcast
from ..names import ELEMENTWISE
from ..record import Call, Value
from .cutting import indexed, part_of
from .rules import DimsOf, argument, rule


@rule(" ".join(ELEMENTWISE))
def elementwise(call: Call, dims: DimsOf) -> list[Dims]:
    """The axes that all inputs broadcast to."""
    out = broadcast([dims(v) for v in call.inputs])
    return [out] * len(call.outputs)


@rule(
    "batch_norm layer_norm group_norm instance_norm softmax log_softmax prelu cumsum rms_norm"
    " roll flip fliplr flipud fake_quantize_per_tensor_affine fake_quantize_per_channel_affine"
)
def _same_axes(call: Call, dims: DimsOf) -> list[Dims]:
    return [dims(call.inputs[0])]


@rule("__setitem__")
def _written(call: Call, dims: DimsOf) -> list[Dims]:
    base = dims(call.inputs[0])
    index, value = call.args[1], call.args[2]
    column = picked_in_rows(call)
    if column is not None:
        return [broadcast([(base[0],), dims(column)]) + base[1:]]
    if isinstance(index, Value):
        return [broadcast([base, dims(index)])]
    if isinstance(value, Value):
        inner = indexed(base, call.args[1], call.inputs[0].shape)
        kept = dims(value)
        broadcast([inner, kept[-len(inner) :] if inner else ()])
        if len(inner) == len(base) == len(kept):
            for whole, part in zip(base, kept, strict=True):
                # A part of an axis, written into one that is as long.
                other = part_of(part)
                if other is not None and other.size == axes.size(whole):
                    axes.unify(whole, (other,))
    return [base]


def picked_in_rows(call: Call) -> Value | None:
    """The index of ``y[torch.arange(len(y)), index] = ...``: one place in each row of a matrix."""
    base, index = call.inputs[0], call.args[1]
    if len(base.shape) != 2 or not isinstance(index, tuple) or len(index) != 2:
        return None
    rows, column = index
    if not (isinstance(rows, Value) and isinstance(column, Value) and rows.constant):
        return None
    every = rows.shape == column.shape == base.shape[:1]
    counted = every and torch.equal(rows.tensor.long().cpu(), torch.arange(base.shape[0]))
    return column if counted and not column.constant else None


@rule("scatter")
def _scattered(call: Call, dims: DimsOf) -> list[Dims]:
    base, index = call.inputs[0], argument(call, 2, "index")
    dim = argument(call, 1, "dim") % len(base.shape)
    others = [i for i in range(len(base.shape)) if i != dim]
    if not isinstance(index, Value) or any(base.shape[i] != index.shape[i] for i in others):
        raise AxisError("a scatter into some of the rows")
    given, written = dims(index), dims(base)
    for i in others:
        axes.unify(written[i], given[i])
    return [written]


@rule("one_hot")
def _spread(call: Call, dims: DimsOf) -> list[Dims]:
    return [(*dims(call.inputs[0]), (Atom(call.outputs[0].shape[-1]),))]
