"""Layers as functions: weighted sums, pools, normalisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir

from ...modules.exporting import array, module_to_node, refuse
from ...modules.linear import NO_BIAS
from ...modules.normalization import absent, batch_norm_of
from ..drawing import Signal
from ..effects.rules import argument
from ..names import plain_name
from ..record import Value
from .operands import both
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


def _weights(b: Bench, names: Sequence[str], first: int = 1) -> list[Tensor | None]:
    found: list[Tensor | None] = []
    for place, name in enumerate(names, first):
        value = argument(b.call, place, name)
        if value is None:
            found.append(None)
        elif isinstance(value, Value) and value.constant:
            found.append(value.tensor)
        else:
            raise refuse(f"a {name} that comes from the input", "a parameter")
    return found


def _held(b: Bench, first: int = 1) -> dict[str, Any]:
    """The arguments that are the weight and the bias, from the place of the first."""
    names = enumerate(("weight", "bias"), first)
    return {name: argument(b.call, place, name) for place, name in names}


def _bias_of(weight: Tensor, bias: Tensor | None, outputs: int) -> dict[str, Any]:
    if bias is not None:
        return {"bias": array(bias)}
    return {"bias": np.zeros(outputs, array(weight).dtype), "metadata": NO_BIAS}


@rule("linear")
def _linear(b: Bench) -> Signal:
    weight, bias = _weights(b, ("weight", "bias"))
    assert weight is not None
    b.feature_axis(b.call.inputs[0], -1)
    node = ir.Affine(array(weight), **_bias_of(weight, bias, len(weight)))
    return b.emit(node, b.x(), of=_held(b))


@rule("lstm_cell")
def _lstm_cell(b: Bench) -> Sequence[Signal]:
    x, (hidden, cell), *weights = b.call.args
    to_input, to_hidden = weights[:2]
    biases = (weights[2:] + [None] * 2)[:2]
    b.feature_axis(x, -1)
    wide = (len(to_input.tensor),)
    from_input = _gates(b, x, to_input, biases[0], wide)
    if hidden.constant:
        # A layer whose state is not handed on, or is brought to rest at every step.
        state = hidden.tensor.detach()
        if not bool((state == state[:1]).all()):
            raise refuse("a hidden state that differs from sample to sample", "zeros, or one state")
        bias = biases[1]
        rest = nn.functional.linear(state[0], to_hidden.tensor, bias and bias.tensor)
        parts = (hidden, bias, to_hidden if state.any() else None)
        made = {"shift": next((v for v in parts if b.trains(v)), None)}
        gates = b.emit(ir.Shift(array(rest)), from_input, features=wide, out_of=made)
    else:
        from_hidden = _gates(b, hidden, to_hidden, biases[1], wide)
        gates = b.emit(ir.Skip("residual"), from_input, from_hidden, features=wide)
    size = wide[0] // 4
    cut = [b.slice(gates, 0, k * size, (k + 1) * size) for k in range(4)]
    kinds = (ir.Sigmoid, ir.Sigmoid, ir.Tanh, ir.Sigmoid)
    i, f, g, o = (b.emit(kind(size), s) for kind, s in zip(kinds, cut, strict=True))
    if cell.constant:
        kept = b.emit(ir.Scale(b.laid(cell)), f, of={"scale": cell})
    else:
        kept = b.emit(ir.Binary("multiply"), f, b.signal(cell))
    new = b.emit(ir.Binary("multiply"), i, g)
    after = b.emit(ir.Skip("residual"), kept, new)
    return [b.emit(ir.Binary("multiply"), o, b.emit(ir.Tanh(size), after)), after]


def _gates(
    b: Bench, value: Value, weight: Value, bias: Value | None, wide: tuple[int, ...]
) -> Signal:
    """What a value adds to the four gates."""
    added = torch.zeros_like(weight.tensor[:, 0]) if bias is None else bias.tensor
    node = ir.Affine(array(weight.tensor), array(added))
    of = {"weight": weight, "bias": bias}
    return b.emit(node, b.signal(value), features=wide, of=of)


@rule("conv1d conv2d conv3d")
def _convolution(b: Bench) -> Signal:
    weight, bias = _weights(b, ("weight", "bias"))
    assert weight is not None
    b.map_of(b.call.inputs[0])
    kind = {"conv1d": ir.Conv1d, "conv2d": ir.Conv2d, "conv3d": ir.Conv3d}[b.call.name]
    stride, padding, dilation = (
        _plain(argument(b.call, i, n, d))
        for i, n, d in ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1))
    )
    groups = argument(b.call, 6, "groups", 1)
    fields = _bias_of(weight, bias, len(weight))
    return b.emit(
        kind(array(weight), fields.pop("bias"), stride, padding, dilation, groups, **fields),
        b.x(),
        of=_held(b),
    )


@rule("conv_transpose1d conv_transpose2d")
def _transposed_convolution(b: Bench) -> Signal:
    weight, bias = _weights(b, ("weight", "bias"))
    assert weight is not None
    b.map_of(b.call.inputs[0])
    kind = ir.ConvTranspose1d if b.call.name == "conv_transpose1d" else ir.ConvTranspose2d
    names = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
    options = {
        name: _plain(argument(b.call, place, name, default))
        for place, (name, default) in enumerate(names.items(), 3)
    }
    outputs = weight.shape[1] * options["groups"]
    node = kind(weight=array(weight), **options, **_bias_of(weight, bias, outputs))
    return b.emit(node, b.x(), of=_held(b))


def _plain(value: Any) -> Any:
    """A tuple for several axes; one number says the same for one and for all."""
    if isinstance(value, list | tuple):
        return value[0] if len(value) == 1 else tuple(value)
    return value


def _upsample(
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> nn.Module:
    if antialias:
        raise refuse("antialias=True", "antialias=False: no primitive smooths")
    return nn.Upsample(
        _plain(size), _plain(scale_factor), mode, align_corners, recompute_scale_factor
    )


def _pool(kind: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def make(
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> nn.Module:
        return kind(
            _plain(kernel_size),
            _plain(stride) or None,
            _plain(padding),
            _plain(dilation),
            return_indices=return_indices,
            ceil_mode=ceil_mode,
        )

    return make


LAYERS: dict[str, Callable[..., nn.Module]] = {
    "max_pool1d": _pool(nn.MaxPool1d),
    "max_pool2d": _pool(nn.MaxPool2d),
    "avg_pool1d": lambda *args, **kwargs: nn.AvgPool1d(*args, **kwargs),
    "avg_pool2d": lambda *args, **kwargs: nn.AvgPool2d(*args, **kwargs),
    "max_pool3d": _pool(nn.MaxPool3d),
    "avg_pool3d": lambda *args, **kwargs: nn.AvgPool3d(*args, **kwargs),
    "adaptive_avg_pool1d": lambda output_size: nn.AdaptiveAvgPool1d(output_size),
    "adaptive_avg_pool2d": lambda output_size: nn.AdaptiveAvgPool2d(output_size),
    "adaptive_max_pool2d": lambda output_size, return_indices=False: nn.AdaptiveMaxPool2d(
        output_size, return_indices
    ),
    "interpolate": _upsample,
}


@rule(" ".join(LAYERS))
def _layer(b: Bench) -> Signal:
    options = {k: v for k, v in b.call.kwargs.items() if k not in ("input", "self")}
    module = LAYERS[plain_name(b.call.name)](*b.call.args[1:], **options)
    b.map_of(b.call.inputs[0])
    x = b.x()
    return b.emit(module_to_node(module, x.features, b.out()), x)


@rule("batch_norm")
def _batch_norm(b: Bench) -> Signal:
    x = b.call.inputs[0]
    mean, var, weight, bias = _weights(b, ("running_mean", "running_var", "weight", "bias"))
    if argument(b.call, 5, "training", False) or mean is None or var is None:
        raise refuse(
            "a batch norm that uses the batch's own statistics",
            "running statistics, in eval mode",
            "Use track_running_stats=True, and .eval().",
        )
    b.channels_of(x)
    signal = b.x()
    ones = torch.ones_like(mean)
    return b.emit(
        batch_norm_of(signal.features)(
            len(mean),
            array(ones if weight is None else weight),
            array(torch.zeros_like(mean) if bias is None else bias),
            array(mean),
            array(var),
            float(argument(b.call, 7, "eps", 1e-5)),
            float(argument(b.call, 6, "momentum", 0.1)),
            b.span,
            metadata=absent(weight=weight, bias=bias),
        ),
        signal,
        of=_held(b, 3),
    )


@rule("group_norm")
def _group_norm(b: Bench) -> Signal:
    groups = argument(b.call, 1, "num_groups")
    weight, bias = _weights(b, ("weight", "bias"), 2)
    b.map_of(b.call.inputs[0])
    signal = b.x()
    ones = torch.ones(signal.features[0], dtype=b.call.inputs[0].tensor.dtype)
    return b.emit(
        ir.GroupNorm(
            groups,
            array(ones if weight is None else weight),
            array(torch.zeros_like(ones) if bias is None else bias),
            float(argument(b.call, 4, "eps", 1e-5)),
            metadata=absent(weight=weight, bias=bias),
        ),
        signal,
        of=_held(b, 2),
    )


@rule("layer_norm")
def _layer_norm(b: Bench) -> Signal:
    x = b.call.inputs[0]
    shape = tuple(argument(b.call, 1, "normalized_shape"))
    weight, bias = _weights(b, ("weight", "bias"), 2)
    for i in range(len(shape)):
        b.feature_axis(x, -1 - i)
    like = torch.ones(shape, dtype=x.tensor.dtype)
    return b.emit(
        ir.LayerNorm(
            shape,
            array(like if weight is None else weight),
            array(torch.zeros_like(like) if bias is None else bias),
            float(argument(b.call, 4, "eps", 1e-5)),
            metadata=absent(weight=weight, bias=bias),
        ),
        b.x(),
        of=_held(b, 2),
    )


@rule("matmul mv")
def _matmul(b: Bench) -> Signal:
    x, y = b.call.inputs
    if b.call.name == "__rmatmul__":
        x, y = y, x
    if y.constant and len(y.shape) == 2:
        b.feature_axis(x, -1)
        return b.emit(ir.Linear(array(y.tensor.t())), b.signal(x), out_of={"weight": y})
    if x.constant or y.constant:
        raise refuse(
            f"a product of {x.shape} and {y.shape} with a constant",
            "x @ W with a matrix, which is a Linear",
            "Use nn.Linear.",
        )
    for value in (x, y):
        b.feature_axis(value, -1)
        b.feature_axis(value, -2)
    left, right = both(b, x, y)
    return b.emit(ir.MatMul(), *b.apart(left, right))
