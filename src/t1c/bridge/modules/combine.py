"""Several inputs in order: ir.Binary, ir.Where, ir.MatMul <-> modules of the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from t1c import ir

from ..engine.kernels.spread import matrix_product
from ..engine.kernels.surrogate import Surrogated, spike
from ..engine.merging import MergeModule
from ..engine.ordered import as_written, in_order
from .exporting import Shape, exports
from .registry import imports

ARITHMETIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "power": torch.pow,
}
FIRES_AT = {"greater": "gt", "greater_or_equal": "ge"}


class _Combination(MergeModule):
    """A module whose inputs each have a place; ``node`` checks their shapes."""

    node: ir.Binary | ir.Where | ir.MatMul

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        """Combine tensors (B, *features).

        Raises:
            ShapeError: there are too few or too many, or their shapes do not fit together.
        """
        self.node.merge([tuple(x.shape[1:]) for x in inputs])
        return self.combine(*inputs)

    def combine(self, *inputs: Tensor) -> Tensor:
        """The value of inputs that fit together."""
        raise NotImplementedError


class BinaryModule(Surrogated, _Combination):
    """A function of two inputs, element by element, with the meaning of ``ir.Binary``.

    The gradient of 'greater' and 'greater_or_equal' is that of ``surrogate`` at a - b; 'equal' has
    none.
    """

    stretches = True
    node: ir.Binary

    def __init__(self, op: str) -> None:
        super().__init__()
        self.node = ir.Binary(op)

    def combine(self, *inputs: Tensor) -> Tensor:
        """Two tensors (B, *features) that broadcast."""
        a, b = inputs
        op = self.node.op
        if op in ARITHMETIC:
            return ARITHMETIC[op](a, b)
        if op == "equal":
            return (a == b).to(a.dtype)
        a, b = torch.broadcast_tensors(a, b)
        return spike(a, b, FIRES_AT[op], self.surrogate)

    def magnitude(self, inputs: Sequence[Tensor]) -> tuple[Tensor, int]:
        """What is subtracted counts like what is added; of two to choose from, the larger."""
        a, b = inputs
        if self.node.op == "subtract":
            return a + b, 1
        return torch.maximum(a, b) if self.node.op == "minimum" else self.merge(inputs), 1

    def extra_repr(self) -> str:
        """The function."""
        return repr(self.node.op)


class WhereModule(_Combination):
    """a where the condition is not 0, else b, with the meaning of ``ir.Where``.

    No gradient flows to the condition.
    """

    stretches = True
    node: ir.Where

    def __init__(self) -> None:
        super().__init__()
        self.node = ir.Where()

    def combine(self, *inputs: Tensor) -> Tensor:
        """Condition, a and b (B, *features) that broadcast."""
        condition, a, b = inputs
        return torch.where(condition != 0, a, b)


class MatMulModule(_Combination):
    """The matrix product over the last two axes, with the meaning of ``ir.MatMul``."""

    node: ir.MatMul

    def __init__(self) -> None:
        super().__init__()
        self.node = ir.MatMul()

    def combine(self, *inputs: Tensor) -> Tensor:
        """(B, ..., n, k) and (B, ..., k, m) become (B, ..., n, m)."""
        return torch.matmul(*inputs)

    def magnitude(self, inputs: Sequence[Tensor]) -> tuple[Tensor, int]:
        """As many products as the axis that is summed over is long."""
        return self.merge(inputs), inputs[0].shape[-1]


@imports(ir.Binary)
def _binary(node: ir.Binary, dtype: torch.dtype) -> nn.Module:
    return BinaryModule(node.op)


@imports(ir.Where)
def _where(node: ir.Where, dtype: torch.dtype) -> nn.Module:
    return WhereModule()


@imports(ir.MatMul)
def _matmul(node: ir.MatMul, dtype: torch.dtype) -> nn.Module:
    return MatMulModule()


@exports(BinaryModule, WhereModule, MatMulModule)
def _combination_node(module: _Combination, entering: Shape, leaving: Shape) -> ir.Node:
    return module.node


def _unwritten_power(module: BinaryModule) -> str | None:
    word = "a Binary 'power', of which each machine has its own"
    return word if module.node.op == "power" else None


@in_order(MatMulModule)
def _multiplied(module: MatMulModule, sent: Sequence[Tensor]) -> Tensor:
    module.node.merge([tuple(x.shape[1:]) for x in sent])
    return matrix_product(*sent)


as_written(WhereModule)
as_written(BinaryModule, unless=_unwritten_power)
