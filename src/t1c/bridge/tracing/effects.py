"""What each operation does to axes: which go on, which are cut, joined, reduced or new.

A rule takes the call and the axes of its inputs, and returns the axes of each of its outputs. What
it says is about axes of any kind; whether time or batch may be among them is judged by the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from . import axes
from .axes import Atom, AxisError, Dims, broadcast, fresh, regroup
from .equation import equation_of
from .names import ELEMENTWISE, plain_name
from .record import Call, Value

DimsOf = Callable[[Value], Dims]
Rule = Callable[[Call, DimsOf], "list[Dims]"]

RULES: dict[str, Rule] = {}


def _rule(names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), rule))
        return rule

    return register


def effect(call: Call, dims: DimsOf) -> list[Dims]:
    """The axes of each output of a call.

    Raises:
        AxisError: the operation is not known, or mixes axes that do not go together.
    """
    if call.module is not None:
        return _of_module(call, dims)
    plain = call.name if call.name in RULES else call.name.removesuffix("_")
    rule = RULES.get(plain)
    if rule is None:
        raise AxisError(f"torch's {call.name} is nothing that a graph can say")
    return rule(call, dims)


def argument(call: Call, position: int, name: str, default: Any = None) -> Any:
    """An argument by place or name."""
    if name in call.kwargs:
        return call.kwargs[name]
    return call.args[position] if len(call.args) > position else default


# Element by element ------------------------------------------------------------------------------


@_rule(" ".join(ELEMENTWISE))
def _elementwise(call: Call, dims: DimsOf) -> list[Dims]:
    out = broadcast([dims(v) for v in call.inputs])
    return [out] * len(call.outputs)


@_rule(
    "batch_norm layer_norm group_norm instance_norm softmax log_softmax prelu cumsum rms_norm"
    " roll flip fliplr flipud"
)
def _same_axes(call: Call, dims: DimsOf) -> list[Dims]:
    return [dims(call.inputs[0])]


@_rule("__setitem__")
def _written(call: Call, dims: DimsOf) -> list[Dims]:
    base = dims(call.inputs[0])
    index, value = call.args[1], call.args[2]
    column = picked_in_rows(call)
    if column is not None:
        return [broadcast([(base[0],), dims(column)]) + base[1:]]
    if isinstance(index, Value):
        return [broadcast([base, dims(index)])]
    if isinstance(value, Value):
        inner = _indexed(base, call.args[1], call.inputs[0].shape)
        kept = dims(value)
        broadcast([inner, kept[-len(inner) :] if inner else ()])
        if len(inner) == len(base) == len(kept):
            for whole, part in zip(base, kept, strict=True):
                # A part of an axis, written into one that is as long.
                other = _part(part)
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


@_rule("scatter")
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


@_rule("one_hot")
def _spread(call: Call, dims: DimsOf) -> list[Dims]:
    return [(*dims(call.inputs[0]), (Atom(call.outputs[0].shape[-1]),))]


# Other shapes ------------------------------------------------------------------------------------


@_rule("view reshape flatten unflatten squeeze unsqueeze view_as reshape_as ravel _unsafe_view")
def _regrouped(call: Call, dims: DimsOf) -> list[Dims]:
    return [regroup(dims(call.inputs[0]), call.outputs[0].shape)]


@_rule("permute transpose t swapaxes swapdims movedim moveaxis T mT adjoint numpy_T transpose_")
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


@_rule("expand expand_as broadcast_to")
def _expanded(call: Call, dims: DimsOf) -> list[Dims]:
    given, shape = dims(call.inputs[0]), call.outputs[0].shape
    lead = len(shape) - len(given)
    result = list(fresh(shape[:lead], free=True))
    for dim, n in zip(given, shape[lead:], strict=True):
        result.append(dim if axes.size(dim) == n else (Atom(n, free=True),))
    if call.name == "expand_as" and len(call.inputs) > 1:
        result = list(broadcast([tuple(result), dims(call.inputs[1])]))
    return [tuple(result)]


@_rule("repeat tile")
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


@_rule("repeat_interleave")
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


# Cutting and joining -----------------------------------------------------------------------------


@_rule("__getitem__")
def _taken(call: Call, dims: DimsOf) -> list[Dims]:
    return [_indexed(dims(call.inputs[0]), call.args[1], call.inputs[0].shape)]


def index_parts(index: Any, rank: int) -> list[Any]:
    """An index, one entry for each axis: an int, a slice; None for a new axis.

    Raises:
        AxisError: it picks by a tensor or a list.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    taking = [p for p in parts if p is not None and p is not ...]
    for part in taking:
        if isinstance(part, bool) or not isinstance(part, int | slice):
            raise AxisError("an index that is a tensor, a list or a mask")
        if isinstance(part, slice) and any(isinstance(p, Value) for p in _bounds(part)):
            raise AxisError("an index that is a tensor, a list or a mask")
    missing = [slice(None)] * (rank - len(taking))
    if any(p is ... for p in parts):
        at = next(i for i, p in enumerate(parts) if p is ...)
        return [*parts[:at], *missing, *parts[at + 1 :]]
    return [*parts, *missing]


def _bounds(part: slice) -> tuple[Any, Any, Any]:
    return part.start, part.stop, part.step


def _sliced(dim: axes.Dim, n: int) -> Atom:
    """A part of an axis; what is left of one that was made longer may be what it was before."""
    found = axes.leaves(dim)
    before = _part(dim)
    if before is not None and before.size == n:
        return before
    return Atom(n, part_of=found[0] if len(found) == 1 else None)


def _indexed(dims: Dims, index: Any, shape: Sequence[int]) -> Dims:
    result: list[axes.Dim] = []
    axis = 0
    for part in index_parts(index, len(dims)):
        if part is None:
            result.append(())
            continue
        if isinstance(part, slice):
            n = len(range(*part.indices(shape[axis])))
            whole = n == shape[axis] and (part.step is None or part.step > 0)
            result.append(dims[axis] if whole else (_sliced(dims[axis], n),))
        axis += 1
    return tuple(result)


@_rule("select")
def _selected(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    dim = argument(call, 1, "dim") % len(given)
    return [(*given[:dim], *given[dim + 1 :])]


@_rule("unbind")
def _unbound(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    dim = argument(call, 1, "dim", 0) % len(given)
    return [(*given[:dim], *given[dim + 1 :])] * len(call.outputs)


@_rule("chunk split tensor_split split_with_sizes narrow")
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


@_rule("stack")
def _stacked(call: Call, dims: DimsOf) -> list[Dims]:
    pieces = [dims(v) for v in call.inputs]
    joined = broadcast(pieces)
    dim = argument(call, 1, "dim", 0) % (len(joined) + 1)
    new = Atom(len(pieces), free=len({id(v) for v in call.inputs}) == 1)
    return [(*joined[:dim], (new,), *joined[dim:])]


@_rule("cat concat concatenate")
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
    found = {_part(dims(v)[dim]) for v in call.inputs if not v.constant and v.shape[dim] > 1}
    whole = found.pop() if len(found) == 1 else None
    return whole if whole is not None and whole.size == call.outputs[0].shape[dim] else None


def _part(dim: axes.Dim) -> Atom | None:
    found = axes.leaves(dim)
    return found[0].part_of if len(found) == 1 else None


@_rule("pad constant_pad_nd")
def _padded(call: Call, dims: DimsOf) -> list[Dims]:
    x, y = call.inputs[0], call.outputs[0]
    return [
        tuple(
            d if n == m else (Atom(m),) for d, n, m in zip(dims(x), x.shape, y.shape, strict=True)
        )
    ]


# Fewer axes --------------------------------------------------------------------------------------


@_rule("sum mean amax amin max min argmax argmin")
def _reduced(call: Call, dims: DimsOf) -> list[Dims]:
    if len(call.inputs) == 2:
        return _elementwise(call, dims)
    given = dims(call.inputs[0])
    gone = reduced_axes(call)
    keep = bool(argument(call, 2, "keepdim", False))
    kept = tuple(() if i in gone else d for i, d in enumerate(given) if keep or i not in gone)
    return [kept] * len(call.outputs)


def reduced_axes(call: Call) -> set[int]:
    """The axes that a reduction takes away."""
    rank = len(call.inputs[0].shape)
    dim = call.kwargs.get("dim", call.kwargs.get("axis", argument(call, 1, "dim")))
    if dim is None or dim == ():
        return set(range(rank))
    given = dim if isinstance(dim, tuple | list) else [dim]
    return {d % rank for d in given}


# Layers ------------------------------------------------------------------------------------------


@_rule("linear")
def _last(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    return [(*given[:-1], (Atom(call.outputs[0].shape[-1]),))]


@_rule("lstm_cell")
def _lstm_cell(call: Call, dims: DimsOf) -> list[Dims]:
    given = dims(call.inputs[0])
    return [(*given[:-1], (Atom(out.shape[-1]),)) for out in call.outputs]


@_rule(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d max_pool1d max_pool2d max_pool3d"
    " avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"
    " adaptive_max_pool1d adaptive_max_pool2d interpolate upsample pixel_shuffle pixel_unshuffle"
    " boolean_dispatch lp_pool2d"
)
def _first_only(call: Call, dims: DimsOf) -> list[Dims]:
    return _first_kept(dims(call.inputs[0]), call.outputs)


def _first_kept(given: Dims, outputs: Sequence[Value], lead: int = 1) -> list[Dims]:
    return [(*given[:lead], *fresh(out.shape[lead:])) for out in outputs]


@_rule("matmul __matmul__ __rmatmul__ bmm mm mv")
def _multiplied(call: Call, dims: DimsOf) -> list[Dims]:
    a, b = (dims(v) for v in call.inputs)
    if call.name == "__rmatmul__":
        a, b = b, a
    if len(a) < 2 or len(b) < 2:
        if len(b) == 1 and len(a) >= 1:
            axes.unify(a[-1], b[0])
            return [a[:-1]]
        raise AxisError("a product with a vector from the left")
    axes.unify(a[-1], b[-2])
    return [(*broadcast([a[:-2], b[:-2]]), a[-2], b[-1])]


@_rule("einsum")
def _by_letters(call: Call, dims: DimsOf) -> list[Dims]:
    equation, found = equation_of(call), dict[str, axes.Dim]()
    for letters, value in zip(equation.operands, call.inputs, strict=True):
        for letter, dim in zip(letters, dims(value), strict=True):
            axes.unify(found.setdefault(letter, dim), dim)
    return [tuple(found[letter] for letter in equation.result)]


# Modules -----------------------------------------------------------------------------------------


def _of_module(call: Call, dims: DimsOf) -> list[Dims]:
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
        return _regrouped(call, dims)
    return _first_kept(given, call.outputs, leading(call, given))


def leading(call: Call, given: Dims) -> int:
    """How many of the first axes a layer leaves alone."""
    if axes_kept(call) == "last":
        return max(len(given) - 1, 0)
    if call.whole:
        from ..frameworks.over_time import Layout, layout_of_one

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
