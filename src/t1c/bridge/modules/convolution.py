"""ir.Conv1d, ir.Conv2d <-> the torch modules, ir.SepConv2d <-> SepConv2dModule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from t1c import ir

from ..exporting import Shape, array, exports, refuse
from ..registry import imports, load
from ..stateless import StatelessModule
from .linear import bias_of, has_bias


class SepConv2dModule(StatelessModule):
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
        bias=has_bias(node),
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
        bias=has_bias(node),
        dtype=dtype,
    )
    load(module.weight, node.weight)
    load(module.bias, node.bias)
    return module


def _options(module: nn.Conv1d | nn.Conv2d) -> dict[str, Any]:
    if module.padding_mode != "zeros":
        raise refuse(
            f"padding_mode={module.padding_mode!r}",
            "'zeros': no primitive pads otherwise",
            "Use padding_mode='zeros', or custom_map.",
        )
    names = ("stride", "padding", "dilation")
    return {name: getattr(module, name) for name in names} | {"groups": module.groups}


@exports(nn.Conv2d)
def _conv2d_node(module: nn.Conv2d, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Conv2d(weight=array(module.weight), **bias_of(module), **_options(module))


@exports(nn.Conv1d)
def _conv1d_node(module: nn.Conv1d, entering: Shape, leaving: Shape) -> ir.Node:
    options = {k: v[0] if isinstance(v, tuple) else v for k, v in _options(module).items()}
    return ir.Conv1d(weight=array(module.weight), **bias_of(module), **options)


@exports(SepConv2dModule)
def _sep_conv2d_node(module: SepConv2dModule, entering: Shape, leaving: Shape) -> ir.Node:
    depth, point = module.depthwise, module.pointwise
    return ir.SepConv2d(
        array(depth.weight),
        array(point.weight),
        None if depth.bias is None else array(depth.bias),
        None if point.bias is None else array(point.bias),
        module.stride,
        module.padding,
        module.dilation,
    )
