"""Operations that add up, or choose from, what lies along axes: these go."""

from __future__ import annotations

from .. import axes
from ..axes import AxisError, Dims, broadcast
from ..equation import equation_of
from ..record import Call
from .elementwise import elementwise
from .rules import DimsOf, argument, rule


@rule("sum mean amax amin max min argmax argmin var")
def _reduced(call: Call, dims: DimsOf) -> list[Dims]:
    if len(call.inputs) == 2:
        return elementwise(call, dims)
    given = dims(call.inputs[0])
    gone = reduced_axes(call)
    keep = keeps_axes(call)
    kept = tuple(() if i in gone else d for i, d in enumerate(given) if keep or i not in gone)
    return [kept] * len(call.outputs)


def reduced_axes(call: Call) -> set[int]:
    """The axes that a reduction takes away."""
    rank = len(call.inputs[0].shape)
    dim = call.kwargs.get("dim", call.kwargs.get("axis", argument(call, 1, "dim")))
    if dim is None or dim == () or isinstance(dim, bool):
        return set(range(rank))  # x.var(False) says nothing of axes
    given = dim if isinstance(dim, tuple | list) else [dim]
    return {d % rank for d in given}


def keeps_axes(call: Call) -> bool:
    """Whether a reduction leaves an axis of 1 where there was one."""
    return bool(argument(call, 3 if call.name == "var" else 2, "keepdim", False))


@rule("matmul __matmul__ __rmatmul__ bmm mm mv")
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


@rule("einsum")
def _by_letters(call: Call, dims: DimsOf) -> list[Dims]:
    equation, found = equation_of(call), dict[str, axes.Dim]()
    for letters, value in zip(equation.operands, call.inputs, strict=True):
        for letter, dim in zip(letters, dims(value), strict=True):
            axes.unify(found.setdefault(letter, dim), dim)
    return [tuple(found[letter] for letter in equation.result)]
