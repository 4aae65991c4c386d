"""ir.Flatten <-> torch.nn.Flatten, ir.Upsample <-> torch.nn.Upsample.

ir.Transpose, ir.Reshape, ir.Slice <-> modules of the same names, and torch.nn.Unflatten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from t1c import ir

from ..engine.ordered import as_written, in_order
from ..engine.script import Script, UnsuitedError, instructs
from ..engine.stateless import StatelessModule
from .by_reference import by_reference
from .exporting import Shape, exports, refuse
from .registry import imports


@imports(ir.Flatten)
def _flatten(node: ir.Flatten, dtype: torch.dtype) -> nn.Module:
    # The graph counts feature dimensions; torch counts the batch too.
    start, end = (d + 1 if d >= 0 else d for d in (node.start_dim, node.end_dim))
    return nn.Flatten(start, end)


@imports(ir.Upsample)
def _upsample(node: ir.Upsample, dtype: torch.dtype) -> nn.Module:
    return nn.Upsample(
        size=node.size,
        scale_factor=None if node.size else node.scale_factor,
        mode=node.mode,
        align_corners=None if node.mode == "nearest" else node.align_corners,
    )


class TransposeModule(StatelessModule):
    """The feature axes in another order, with the meaning of ``ir.Transpose``."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.node = ir.Transpose(axes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) with the features permuted."""
        return x.permute(0, *(1 + axis for axis in self.node.order))

    def extra_repr(self) -> str:
        """The axes."""
        return f"{self.node.axes}"


class ReshapeModule(StatelessModule):
    """The features laid out as another shape, with the meaning of ``ir.Reshape``."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.node = ir.Reshape(shape)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to (B, *shape)."""
        return x.reshape(x.shape[0], *self.node.output_shape(tuple(x.shape[1:])))

    def extra_repr(self) -> str:
        """The shape."""
        return f"{self.node.shape}"


class SliceModule(StatelessModule):
    """A part of the features along one axis, with the meaning of ``ir.Slice``."""

    def __init__(self, axis: int, start: int = 0, stop: int | None = None, stride: int = 1) -> None:
        super().__init__()
        self.node = ir.Slice(axis, start, stop, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to fewer of them along the axis."""
        axis = self.node.axis % (x.ndim - 1)
        return x[(slice(None),) * (1 + axis) + (self.node.taken,)]

    def extra_repr(self) -> str:
        """The axis and what is taken along it."""
        node = self.node
        return f"axis={node.axis}, start={node.start}, stop={node.stop}, stride={node.stride}"


@instructs(nn.Unflatten, ReshapeModule)
def _passed(script: Script, module: nn.Module, x: int, entering: Shape, leaving: Shape) -> int:
    return script.passed(x, entering, leaving)


@instructs(SliceModule)
def _part(script: Script, module: SliceModule, x: int, entering: Shape, leaving: Shape) -> int:
    node = module.node
    if node.axis % len(entering) or node.stride != 1:
        raise UnsuitedError
    script.written.append(module)
    first = range(entering[0])[node.taken].start
    return script.part(x, first * math.prod(entering[1:]), leaving)


@imports(ir.Transpose)
def _transpose(node: ir.Transpose, dtype: torch.dtype) -> nn.Module:
    return TransposeModule(node.axes)


@imports(ir.Reshape)
def _reshape(node: ir.Reshape, dtype: torch.dtype) -> nn.Module:
    return ReshapeModule(node.shape)


@imports(ir.Slice)
def _slice(node: ir.Slice, dtype: torch.dtype) -> nn.Module:
    return SliceModule(node.axis, node.start, node.stop, node.stride)


@exports(TransposeModule, ReshapeModule, SliceModule)
def _rearranged(
    module: TransposeModule | ReshapeModule | SliceModule, entering: Shape, leaving: Shape
) -> ir.Node:
    return module.node


@exports(nn.Unflatten)
def _unflatten_node(module: nn.Unflatten, entering: Shape, leaving: Shape) -> ir.Node:
    if module.dim % (len(entering) + 1) == 0:
        raise refuse(f"dim={module.dim}", "the batch left alone", "Use dim=1 or later.")
    return ir.Reshape(leaving)


@exports(nn.Flatten)
def _flatten_node(module: nn.Flatten, entering: Shape, leaving: Shape) -> ir.Node:
    rank = len(entering) + 1
    start, end = (d % rank for d in (module.start_dim, module.end_dim))
    if start == 0:
        raise refuse(
            f"start_dim={module.start_dim}", "the batch left alone", "Use start_dim=1 or later."
        )
    # As it was written: a dimension counted from the end stays so, the others lose the batch.
    first, last = (d - 1 if d >= 0 else d for d in (module.start_dim, module.end_dim))
    return ir.Flatten(first, last) if end >= start else ir.Identity()


@exports(nn.Upsample)
def _upsample_node(module: nn.Upsample, entering: Shape, leaving: Shape) -> ir.Node:
    if len(entering) != 3 or module.mode not in ("nearest", "bilinear"):
        raise refuse(
            f"mode={module.mode!r} for features {entering}",
            "mode 'nearest' or 'bilinear' and a feature map (C, H, W)",
        )
    corners = bool(module.align_corners)
    factor = module.scale_factor
    factors = set(factor) if isinstance(factor, tuple) else {factor}
    whole = factors.pop() if len(factors) == 1 else None
    if module.size is None and whole is not None and float(whole).is_integer():
        return ir.Upsample(int(whole), mode=module.mode, align_corners=corners)
    if (
        module.size is None
        and not module.recompute_scale_factor
        and any(
            f * n != m
            for f, n, m in zip(
                factor if isinstance(factor, tuple) else (float(factor or 0),) * 2,
                entering[1:],
                leaving[1:],
                strict=True,
            )
        )
    ):
        # torch then samples by the factor, and not by the ratio of the sizes.
        raise refuse(f"scale_factor={factor}", "a factor that gives whole sizes", "Pass size.")
    rows, columns = leaving[1:]
    return ir.Upsample(size=(rows, columns), mode=module.mode, align_corners=corners)


@in_order(nn.Upsample)
def _resized(module: nn.Upsample, sent: Sequence[Tensor]) -> Tensor:
    picked: Tensor = module(sent[0])
    return picked if module.mode == "nearest" else by_reference(module, sent, picked.shape[1:])


as_written(nn.Identity, nn.Flatten, nn.Unflatten, TransposeModule, ReshapeModule, SliceModule)
