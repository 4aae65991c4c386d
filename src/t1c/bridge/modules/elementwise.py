"""ir.Unary, ir.Shift, ir.Clip, ir.Power <-> modules of the same names.

torch's own clipping modules, ReLU6 and Hardtanh, are Clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.primitives.elementwise import POWERS
from t1c.ir.primitives.neuron import parameter_shape

from ..engine.kernels.root import root
from ..engine.ordered import as_written, in_order
from ..engine.stateless import StatelessModule
from .by_reference import by_reference
from .exporting import Shape, array, exports
from .registry import imports, tensor

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "neg": torch.neg,
    "floor": torch.floor,
    "round": torch.round,
    "sign": torch.sign,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": root,
    "reciprocal": torch.reciprocal,
}


def laid_over(parameter: Tensor, x: Tensor) -> Tensor:
    """A parameter, ready to broadcast over ``x`` (B, *features)."""
    return parameter.reshape(parameter_shape(tuple(parameter.shape), tuple(x.shape[1:])))


class UnaryModule(StatelessModule):
    """A function of each element by itself, with the meaning of ``ir.Unary``."""

    def __init__(self, op: str) -> None:
        super().__init__()
        self.node = ir.Unary(op)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to the same shape."""
        return UNARY[self.node.op](x)

    def extra_repr(self) -> str:
        """The function."""
        return repr(self.node.op)


class ShiftModule(StatelessModule):
    """y = x + shift, with the meaning of ``ir.Shift``; the shift is learnable."""

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.shift = nn.Parameter(shift)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to the same shape."""
        return x + laid_over(self.shift, x)


class ClipModule(StatelessModule):
    """y = min(max(x, low), high), with the meaning of ``ir.Clip``; None: no bound."""

    low: Tensor | None
    high: Tensor | None

    def __init__(self, low: Tensor | None = None, high: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to the same shape."""
        low, high = (None if b is None else laid_over(b, x) for b in (self.low, self.high))
        return torch.clamp(x, low, high)


class PowerModule(StatelessModule):
    """y = x ** exponent, with the meaning of ``ir.Power``.

    Args:
        exponent: a number, whose powers torch may know shorter ways to, or a tensor.
    """

    exponent: Tensor | float

    def __init__(self, exponent: Tensor | float) -> None:
        super().__init__()
        if isinstance(exponent, Tensor):
            self.register_buffer("exponent", exponent)
        else:
            self.exponent = exponent

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to the same shape."""
        e = self.exponent
        if isinstance(e, Tensor):
            return torch.pow(x, laid_over(e, x))
        return root(x) if e == 0.5 else torch.pow(x, e)

    def extra_repr(self) -> str:
        """The exponent, if it is one number."""
        return "" if isinstance(self.exponent, Tensor) else f"{self.exponent}"


@imports(ir.Unary)
def _unary(node: ir.Unary, dtype: torch.dtype) -> nn.Module:
    return UnaryModule(node.op)


@imports(ir.Shift)
def _shift(node: ir.Shift, dtype: torch.dtype) -> nn.Module:
    return ShiftModule(tensor(node.shift, dtype))


@imports(ir.Clip)
def _clip(node: ir.Clip, dtype: torch.dtype) -> nn.Module:
    return ClipModule(
        None if node.low is None else tensor(node.low, dtype),
        None if node.high is None else tensor(node.high, dtype),
    )


@imports(ir.Power)
def _power(node: ir.Power, dtype: torch.dtype) -> nn.Module:
    one = node.exponent.size == 1
    return PowerModule(float(node.exponent.item()) if one else tensor(node.exponent, dtype))


@exports(UnaryModule)
def _unary_node(module: UnaryModule, entering: Shape, leaving: Shape) -> ir.Node:
    return module.node


@exports(ShiftModule)
def _shift_node(module: ShiftModule, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Shift(array(module.shift))


@exports(ClipModule)
def _clip_node(module: ClipModule, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Clip(*(None if b is None else array(b) for b in (module.low, module.high)))


@exports(PowerModule)
def _power_node(module: PowerModule, entering: Shape, leaving: Shape) -> ir.Node:
    e = module.exponent
    return ir.Power(array(e) if isinstance(e, Tensor) else np.array(e))


@exports(nn.Hardtanh, nn.ReLU6)
def _hardtanh_node(module: nn.Hardtanh, entering: Shape, leaving: Shape) -> ir.Node:
    bounds = (float(module.min_val), float(module.max_val))
    finite = [np.array(bound) if math.isfinite(bound) else None for bound in bounds]
    return ir.Identity() if finite == [None, None] else ir.Clip(*finite)


def _unwritten_power(module: PowerModule) -> str | None:
    e = module.exponent
    if not isinstance(e, Tensor) and e in POWERS:
        return None
    return f"a Power whose exponent is not one of {', '.join(map(str, sorted(POWERS)))}"


as_written(ShiftModule, ClipModule)
in_order(UnaryModule)(by_reference)
in_order(PowerModule, unless=_unwritten_power)(by_reference)
