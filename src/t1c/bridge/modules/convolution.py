"""Convolutions <-> the torch modules of the same names, ir.SepConv2d <-> SepConv2dModule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from t1c import ir

from ..engine.ordered import in_order
from ..engine.ordered_sums import Spreading, convolved
from ..engine.stateless import StatelessModule
from .exporting import Shape, array, exports, refuse
from .linear import bias_of, has_bias
from .registry import imports, load, unfilled


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

    held_in: ClassVar[Mapping[str, str]] = {
        "depthwise_weight": "depthwise.weight",
        "pointwise_weight": "pointwise.weight",
        "depthwise_bias": "depthwise.bias",
        "pointwise_bias": "pointwise.bias",
    }
    """Field of the node -> where it is held, if under another name."""

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
        self.depthwise = unfilled(
            nn.Conv2d,
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
        self.pointwise = unfilled(
            nn.Conv2d, point[1], point[0], 1, bias=node.pointwise_bias is not None, dtype=dtype
        )
        load(self.depthwise, "weight", node.depthwise_weight)
        load(self.depthwise, "bias", node.depthwise_bias)
        load(self.pointwise, "weight", node.pointwise_weight)
        load(self.pointwise, "bias", node.pointwise_bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) becomes (B, out, H', W')."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


PLAIN: dict[type[ir.Node], Any] = {
    ir.Conv1d: nn.Conv1d,
    ir.Conv2d: nn.Conv2d,
    ir.Conv3d: nn.Conv3d,
}
TRANSPOSED: dict[type[ir.Node], Any] = {
    ir.ConvTranspose1d: nn.ConvTranspose1d,
    ir.ConvTranspose2d: nn.ConvTranspose2d,
}


@imports(*PLAIN)
def _plain(node: ir.Conv1d | ir.Conv2d | ir.Conv3d, dtype: torch.dtype) -> nn.Module:
    outputs, inputs, *kernel = node.weight.shape
    module: nn.Module = unfilled(
        PLAIN[type(node)],
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
    return _filled(module, node)


@imports(*TRANSPOSED)
def _transposed(node: ir.ConvTranspose1d | ir.ConvTranspose2d, dtype: torch.dtype) -> nn.Module:
    inputs, outputs, *kernel = node.weight.shape
    module: nn.Module = unfilled(
        TRANSPOSED[type(node)],
        inputs,
        outputs * node.groups,
        tuple(kernel),
        node.stride,
        node.padding,
        node.output_padding,
        node.groups,
        bias=has_bias(node),
        dilation=node.dilation,
        dtype=dtype,
    )
    return _filled(module, node)


def _filled(module: Any, node: Any) -> nn.Module:
    load(module, "weight", node.weight)
    load(module, "bias", node.bias)
    filled: nn.Module = module
    return filled


@imports(ir.SepConv2d)
def _sep_conv2d(node: ir.SepConv2d, dtype: torch.dtype) -> nn.Module:
    return SepConv2dModule(**node.values(), dtype=dtype)


def _options(module: Any, *more: str) -> dict[str, Any]:
    if module.padding_mode != "zeros":
        raise refuse(
            f"padding_mode={module.padding_mode!r}",
            "'zeros': no primitive pads otherwise",
            "Use padding_mode='zeros'.",
        )
    options: dict[str, Any] = {"groups": module.groups}
    for name in ("stride", "padding", "dilation", *more):
        value = getattr(module, name)
        # Along one axis a node has a number, where torch has a tuple of one.
        options[name] = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    return options


@exports(nn.Conv2d)
def _conv2d_node(module: nn.Conv2d, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Conv2d(weight=array(module.weight), **bias_of(module), **_options(module))


@exports(nn.Conv1d)
def _conv1d_node(module: nn.Conv1d, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Conv1d(weight=array(module.weight), **bias_of(module), **_options(module))


@exports(nn.Conv3d)
def _conv3d_node(module: nn.Conv3d, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Conv3d(weight=array(module.weight), **bias_of(module), **_options(module))


@exports(nn.ConvTranspose1d)
def _transposed_1d_node(module: nn.ConvTranspose1d, entering: Shape, leaving: Shape) -> ir.Node:
    options = _options(module, "output_padding")
    return ir.ConvTranspose1d(weight=array(module.weight), **bias_of(module), **options)


@exports(nn.ConvTranspose2d)
def _transposed_2d_node(module: nn.ConvTranspose2d, entering: Shape, leaving: Shape) -> ir.Node:
    options = _options(module, "output_padding")
    return ir.ConvTranspose2d(weight=array(module.weight), **bias_of(module), **options)


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


def _padded_otherwise(module: Any) -> str | None:
    mode = module.padding_mode
    return None if mode == "zeros" else f"padding_mode={mode!r}"


@in_order(*PLAIN.values(), *TRANSPOSED.values(), unless=_padded_otherwise)
def _convolved(module: Spreading, sent: Sequence[Tensor]) -> Tensor:
    return convolved(module, sent[0])


@in_order(SepConv2dModule)
def _convolved_twice(module: SepConv2dModule, sent: Sequence[Tensor]) -> Tensor:
    return convolved(module.pointwise, convolved(module.depthwise, sent[0]))
