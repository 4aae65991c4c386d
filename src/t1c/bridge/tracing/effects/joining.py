"""Operations that put values side by side, or make them longer."""

from __future__ import annotations

from .. import axes
from ..axes import Atom, Dims, broadcast
from ..record import Call
from .cutting import part_of
from .rules import DimsOf, argument, rule


@rule("stack")
def _stacked(call: Call, dims: DimsOf) -> list[Dims]:
    pieces = [dims(v) for v in call.inputs]
    joined = broadcast(pieces)
    dim = argument(call, 1, "dim", 0) % (len(joined) + 1)
    new = Atom(len(pieces), free=len({id(v) for v in call.inputs}) == 1)
    return [(*joined[:dim], (new,), *joined[dim:])]


@rule("cat concat concatenate")
def _concatenated(call: Call, dims: DimsOf) -> list[Dims]:
    pieces = [dims(v) for v in call.inputs]
    if len(pieces) == 1:
        return pieces
    dim = argument(call, 1, "dim", 0) % len(pieces[0])
    rest = broadcast([(*p[:dim], (), *p[dim + 1 :]) for p in pieces])
    if len({id(v) for v in call.inputs}) == 1:
        inner = pieces[0][dim] if axes.size(pieces[0][dim]) > 1 else ()
        joined = (Atom(len(pieces), free=True), *inner)
    elif len({tuple(axes.leaves(p[dim])) for p in pieces}) == 1:
        joined = (Atom(len(pieces)), *pieces[0][dim])
    elif (again := _put_together(call, dims, dim)) is not None:
        joined = (again,)
    else:
        live = [axes.leaves(dims(v)[dim]) for v in call.inputs if not v.constant]
        longer = live[0][0] if len(live) == 1 and len(live[0]) == 1 else None
        joined = (Atom(call.outputs[0].shape[dim], part_of=longer),)
    return [(*rest[:dim], joined, *rest[dim + 1 :])]


def _put_together(call: Call, dims: DimsOf, dim: int) -> Atom | None:
    """The axis that parts of it, constants and single values make up again, in whatever order."""
    found = {part_of(dims(v)[dim]) for v in call.inputs if not v.constant and v.shape[dim] > 1}
    whole = found.pop() if len(found) == 1 else None
    return whole if whole is not None and whole.size == call.outputs[0].shape[dim] else None


@rule("pad constant_pad_nd")
def _padded(call: Call, dims: DimsOf) -> list[Dims]:
    x, y = call.inputs[0], call.outputs[0]
    return [
        tuple(
            d if n == m else (Atom(m),) for d, n, m in zip(dims(x), x.shape, y.shape, strict=True)
        )
    ]
