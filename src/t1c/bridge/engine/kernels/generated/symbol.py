"""Modules written down as a loop: they are run once, on symbols that note what is done to them.

torch hands every function of a symbol to the symbol, which knows a closed set of them by name.
Whatever else a module does is no loop of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..surrogate import ATAN, Surrogate
from .loop import Loop, Value, Writer

Operand = Any
"""A symbol, a tensor, or a number."""


class UnsuitedError(Exception):
    """What no operation or instruction serves; a reason that nobody needs to see."""


class Pen:
    """Writes down what is done to symbols of one shape, (B, *features).

    Attributes:
        writer: of the entries.
        laid: the tensors met that have a value for each element, in the order of their numbers.
        single: those that are one number.
    """

    def __init__(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
        self.writer = Writer()
        self.laid: list[Tensor] = []
        self.single: list[Tensor] = []

    def leaf(self, op: str, number: int) -> Symbol:
        """What is read, or carried, by number."""
        return Symbol(self, self.writer.add(op, detail=number))

    def value(self, operand: Operand) -> Value | float:
        """An operand as the loop knows it."""
        if isinstance(operand, Symbol):
            return operand.value
        if isinstance(operand, Tensor):
            return self._parameter(operand)
        if isinstance(operand, int | float):
            return float(operand)
        raise UnsuitedError

    def _parameter(self, tensor: Tensor) -> Value:
        rank = len(self.shape)
        fits = tensor.ndim < rank or (tensor.ndim == rank and tensor.shape[0] == 1)
        if tensor.dtype != self.dtype or tensor.device != self.device or not fits:
            raise UnsuitedError
        if tensor.numel() == 1:
            return self.writer.add("single", detail=_number_of(tensor, self.single))
        features = self.shape[1:]
        if not _lies_over(tensor.shape[-len(features) :], features):
            raise UnsuitedError
        return self.writer.add("laid", detail=_number_of(tensor, self.laid))


def _lies_over(shape: torch.Size, features: torch.Size) -> bool:
    """Whether what has a shape broadcasts to one value for each feature.

    ``torch.broadcast_shapes`` takes longer for it than all else that is asked of a parameter.
    """
    pairs = zip(reversed(shape), reversed(features), strict=False)
    return len(shape) <= len(features) and all(n in (1, m) for n, m in pairs)


def _number_of(tensor: Tensor, known: list[Tensor]) -> int:
    for n, other in enumerate(known):
        if other is tensor:
            return n
    known.append(tensor)
    return len(known) - 1


def _operator(name: str, swapped: bool = False) -> Callable[..., Any]:
    """The method for a sign of arithmetic; ``swapped`` if the symbol stands behind it."""

    def method(symbol: Symbol, other: Operand) -> Symbol:
        operands = (other, symbol) if swapped else (symbol, other)
        found: Symbol = _FUNCTIONS[name](*operands)
        return found

    return method


@dataclass(frozen=True, eq=False)
class Symbol:
    """A value that a loop computes, in the place of the tensor (B, *features) of one step."""

    pen: Pen
    value: Value
    condition: bool = False

    @property
    def shape(self) -> torch.Size:
        """(B, *features)."""
        return self.pen.shape

    @property
    def ndim(self) -> int:
        """How many dimensions that are."""
        return len(self.pen.shape)

    @property
    def dtype(self) -> torch.dtype:
        """Of the arithmetic."""
        return torch.bool if self.condition else self.pen.dtype

    @property
    def device(self) -> torch.device:
        """Where it is worked."""
        return self.pen.device

    @property
    def requires_grad(self) -> bool:
        """Gradients are taken of the loop, not of symbols."""
        return False

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """What torch asks before it works a function of a symbol."""
        name = getattr(func, "__name__", "").strip("_")
        rule = _FUNCTIONS.get(name)
        if rule is None:
            raise UnsuitedError
        try:
            return rule(*args, **(kwargs or {}))
        except TypeError:
            # An argument that the rule does not know.
            raise UnsuitedError from None

    __add__, __radd__ = _operator("add"), _operator("add", True)
    __sub__, __rsub__ = _operator("sub"), _operator("sub", True)
    __mul__, __rmul__ = _operator("mul"), _operator("mul", True)
    __truediv__ = _operator("div")
    __pow__ = _operator("pow")
    __gt__, __ge__ = _operator("gt"), _operator("ge")
    __lt__, __le__ = _operator("lt"), _operator("le")
    __eq__ = _operator("eq")
    __ne__ = _operator("ne")
    __hash__ = object.__hash__

    def __rtruediv__(self, number: float) -> Symbol:
        # torch takes it so, which rounds twice.
        return _write("multiply", _write("reciprocal", self), number)

    def __neg__(self) -> Symbol:
        return self._one("neg")

    def _one(self, name: str, *args: Any, **kwargs: Any) -> Symbol:
        found: Symbol = _FUNCTIONS[name](self, *args, **kwargs)
        return found

    def __getattr__(self, name: str) -> Any:
        """A method of tensors."""
        if name not in _FUNCTIONS:
            raise UnsuitedError
        return lambda *args, **kwargs: self._one(name, *args, **kwargs)

    def __bool__(self) -> NoReturn:
        raise UnsuitedError


def _write(op: str, *operands: Operand, detail: Any = None, condition: bool = False) -> Symbol:
    pen = next(o.pen for o in operands if isinstance(o, Symbol))
    if op != "where" and any(isinstance(o, Symbol) and o.condition for o in operands):
        raise UnsuitedError
    value = pen.writer.add(op, *(pen.value(o) for o in operands), detail=detail)
    return Symbol(pen, value, condition)


def _as(op: str, count: int = 1, condition: bool = False) -> Callable[..., Symbol]:
    """A function of torch that is an operation."""

    def rule(*operands: Operand) -> Symbol:
        if len(operands) != count:
            raise UnsuitedError
        return _write(op, *operands, condition=condition)

    return rule


def _clamp(x: Symbol, min: Operand = None, max: Operand = None) -> Symbol:
    if min is not None:
        x = _write("raise_to", x, min)
    return x if max is None else _write("cap_at", x, max)


def _pow(x: Operand, exponent: Operand) -> Symbol:
    """The powers that torch knows shorter ways to are taken in its own."""
    if isinstance(x, Symbol) and isinstance(exponent, int | float):
        if exponent in (2, 3, -2):
            square = _write("multiply", x, x)
            if exponent == 2:
                return square
            if exponent == 3:
                return _write("multiply", square, x)
            return _write("reciprocal", square)
        if exponent in (0.5, -0.5):
            root = _write("sqrt", x)
            return root if exponent > 0 else _write("reciprocal", root)
        if exponent == -1:
            return _write("reciprocal", x)
    return _write("power", x, exponent)


def _where(condition: Operand, yes: Operand, no: Operand) -> Symbol:
    if not (isinstance(condition, Symbol) and condition.condition):
        raise UnsuitedError
    return _write("where", condition, yes, no)


def _to(x: Symbol, dtype: Any = None) -> Symbol:
    if dtype != x.pen.dtype:
        raise UnsuitedError
    return _write("where", x, 1.0, 0.0) if x.condition else x


def _same(x: Symbol) -> Symbol:
    return x


def _dropout(x: Symbol, p: float = 0.5, training: bool = True, inplace: bool = False) -> Symbol:
    if training:
        raise UnsuitedError
    return x


def _relu(x: Symbol, inplace: bool = False) -> Symbol:
    return _write("rectify", x)


def _leaky_relu(x: Symbol, negative_slope: float = 0.01, inplace: bool = False) -> Symbol:
    return _write("where", x > 0, x, x * negative_slope)


def _broadcast_tensors(*operands: Operand) -> tuple[Operand, ...]:
    return operands


def _spike(u: Operand, threshold: Operand, fires_at: str, surrogate: Surrogate = ATAN) -> Symbol:
    op = "fires_at" if fires_at == "ge" else "fires_above"
    return _write(op, u, threshold, detail=surrogate)


def _spikes(u: Operand, threshold: Operand, surrogate: Surrogate = ATAN) -> Symbol:
    return _write("counts", u, threshold, detail=surrogate)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": _as("add", 2),
    "radd": _as("add", 2),
    "sub": _as("subtract", 2),
    "mul": _as("multiply", 2),
    "rmul": _as("multiply", 2),
    "div": _as("divide", 2),
    "truediv": _as("divide", 2),
    "neg": _as("negative"),
    "abs": _as("absolute"),
    "sign": _as("sign"),
    "floor": _as("floor"),
    "round": _as("round"),
    "reciprocal": _as("reciprocal"),
    "sqrt": _as("sqrt"),
    "exp": _as("exp"),
    "log": _as("log"),
    "tanh": _as("tanh"),
    "sigmoid": _as("sigmoid"),
    "pow": _pow,
    "minimum": _as("minimum", 2),
    "maximum": _as("maximum", 2),
    "clamp": _clamp,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "where": _where,
    "gt": _as("greater", 2, condition=True),
    "ge": _as("greater_or_equal", 2, condition=True),
    "lt": _as("less", 2, condition=True),
    "le": _as("less_or_equal", 2, condition=True),
    "eq": _as("equal", 2, condition=True),
    "ne": _as("unequal", 2, condition=True),
    "to": _to,
    "detach": _as("detach"),
    "clone": _same,
    "contiguous": _same,
    "dropout": _dropout,
    "broadcast_tensors": _broadcast_tensors,
    # Of bridge.surrogate.
    "spike": _spike,
    "spikes": _spikes,
    "once": _as("once"),
    "jump": _as("jump", 3),
}
"""Name of a function of torch's, or of ours -> what it is as entries."""


@dataclass(frozen=True)
class Written:
    """A loop, and the parameters that it was written with.

    Attributes:
        loop: what is computed.
        laid: tensors that broadcast over the features.
        single: tensors that hold one number.
        arrays: by layout of the features, what kernels take for these tensors as they are.
    """

    loop: Loop
    laid: tuple[Tensor, ...]
    single: tuple[Tensor, ...]
    arrays: dict[Any, tuple[Tensor, Tensor]] = field(default_factory=dict)


def written(pen: Pen, writes: Sequence[Symbol], carried: Sequence[Symbol]) -> Written:
    """The loop that writes down and hands on these symbols.

    Raises:
        UnsuitedError: one of them is a condition, which is no number.
    """
    if any(symbol.condition for symbol in (*writes, *carried)):
        raise UnsuitedError
    loop = pen.writer.loop([s.value for s in writes], [s.value for s in carried])
    return Written(loop, tuple(pen.laid), tuple(pen.single))
