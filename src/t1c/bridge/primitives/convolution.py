"""ir.Conv2d -> torch.nn.Conv2d, ir.SepConv2d -> SepConv2dModule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from t1c import ir

from ..registry import imports, load


class SepConv2dModule(nn.Module):
    """Depthwise separable convolution: each channel by itself, then a 1x1 convolution.

    Args:
        depthwise_weight: (in, 1, kH, kW).
        pointwise_weight: (out, in, 1, 1).
        depthwise_bias: (in,) or None.
        pointwise_bias: (out,) or None.
        stride: of the depthwise part, as are padding and dilation.
        padding: two numbers, 'same' or 'valid'.
        dilation: two numbers.
        dtype: of the parameters; torch's default if None.

    Raises:
        NodeError: the weights do not fit together.
    """

    def __init__(
        self,
        depthwise_weight: Any,
        pointwise_weight: Any,
        depthwise_bias: Any = None,
        pointwise_bias: Any = None,
        stride: Any = (1, 1),
        padding: Any = (0, 0),
        dilation: Any = (1, 1),
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        node = ir.SepConv2d(
            depthwise_weight,
            pointwise_weight,
            depthwise_bias,
            pointwise_bias,
            stride,
            padding,
            dilation,
        )
        self.stride, self.padding, self.dilation = node.stride, node.padding, node.dilation
        depth, point = node.depthwise_weight.shape, node.pointwise_weight.shape
        self.depthwise = nn.Conv2d(
            depth[0],
            depth[0],
            depth[2:],
            node.stride,
            node.padding,
            node.dilation,
            groups=depth[0],
            bias=node.depthwise_bias is not None,
            dtype=dtype,
        )
        self.pointwise = nn.Conv2d(
            point[1], point[0], 1, bias=node.pointwise_bias is not None, dtype=dtype
        )
        load(self.depthwise.weight, node.depthwise_weight)
        load(self.depthwise.bias, node.depthwise_bias)
        load(self.pointwise.weight, node.pointwise_weight)
        load(self.pointwise.bias, node.pointwise_bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) becomes (B, out, H', W')."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


@imports(ir.Conv2d)
def _conv2d(node: ir.Conv2d, dtype: torch.dtype) -> nn.Module:
    outputs, inputs, *kernel = node.weight.shape
    module = nn.Conv2d(
        inputs * node.groups,
        outputs,
        tuple(kernel),
        node.stride,
        node.padding,
        node.dilation,
        node.groups,
        dtype=dtype,
    )
    load(module.weight, node.weight)
    load(module.bias, node.bias)
    return module


@imports(ir.SepConv2d)
def _sep_conv2d(node: ir.SepConv2d, dtype: torch.dtype) -> nn.Module:
    return SepConv2dModule(**node.values(), dtype=dtype)


@imports(ir.Conv1d)
def _conv1d(node: ir.Conv1d, dtype: torch.dtype) -> nn.Module:
    outputs, inputs, kernel = node.weight.shape
    module = nn.Conv1d(
        inputs * node.groups,
        outputs,
        kernel,
        node.stride,
        node.padding,
        node.dilation,
        node.groups,
        dtype=dtype,
    )
    load(module.weight, node.weight)
    load(module.bias, node.bias)
    return module
