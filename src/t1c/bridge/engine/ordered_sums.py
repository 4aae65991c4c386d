"""The sums of torch's layers in the written order, by the kernels that keep to it."""

from __future__ import annotations

from typing import TypeGuard

from torch import Tensor, nn

from t1c.ir.errors import Problem, UnsupportedError

from .geometry import convolution_of
from .kernels.convolution import WINDOW, Behind, ConvolutionLoop, placed
from .kernels.events import affine
from .kernels.spread import Spread, spread_out

Spreading = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d


def weighted(layer: nn.Linear, x: Tensor) -> Tensor:
    """What a Linear makes of ``x`` (..., in)."""
    _check(layer, (layer.out_features, x.shape[-1]), layer.out_features)
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    y = affine(rows, layer.weight.detach(), _bias(layer))
    return y.view(*x.shape[:-1], layer.out_features)


def convolved(layer: Spreading, x: Tensor) -> Tensor:
    """What a convolution, or a transposed one, makes of ``x`` (B, C, *size)."""
    ins, outs, groups = x.shape[1], layer.out_channels, layer.groups
    lead = (ins, outs // groups) if _turned(layer) else (outs, ins // groups)
    _check(layer, (*lead, *layer.kernel_size), outs)
    weight, bias = layer.weight.detach(), _bias(layer)
    if x.numel() and gathered(layer):
        assert isinstance(layer, nn.Conv1d | nn.Conv2d)
        shape = convolution_of(layer, tuple(x.shape[1:]))
        loop = ConvolutionLoop(shape, Behind(), len(x), x)
        y, _ = loop.gathered(x.unsqueeze(0), placed(weight, bias, ordered=True), None, ())
        return y[0]
    return spread_out(x, weight, bias, _spread(layer, tuple(x.shape[2:])))


def gathered(layer: nn.Module) -> bool:
    """Whether what each output sees is gathered: in one group, by a kernel that is not large."""
    if type(layer) not in (nn.Conv1d, nn.Conv2d):
        return False
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return layer.groups == 1 and layer.weight[0, 0].numel() <= WINDOW


def _turned(layer: Spreading) -> TypeGuard[nn.ConvTranspose1d | nn.ConvTranspose2d]:
    return isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)


def _check(layer: nn.Linear | Spreading, weight: tuple[int, ...], outputs: int) -> None:
    """Refuse parameters that were replaced by others of another shape: kernels check nothing."""
    own = None if layer.bias is None else layer.bias.shape
    if layer.weight.shape != weight or own not in (None, (outputs,)):
        raise UnsupportedError(
            Problem(
                f"parameters of shapes {tuple(layer.weight.shape)} and {own and tuple(own)} in a "
                f"{type(layer).__name__}",
                f"{weight} and {(outputs,)}, with reproducible=True",
            )
        )


def _bias(layer: nn.Linear | Spreading) -> Tensor | None:
    return None if layer.bias is None else layer.bias.detach()


def _spread(layer: Spreading, size: tuple[int, ...]) -> Spread:
    """Where each input of a layer goes, on maps of this size."""
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if layer.padding == "same":
        before, total = [r // 2 for r in reach], reach
    elif layer.padding == "valid":
        before = total = [0] * len(reach)
    else:
        before = [int(p) for p in layer.padding]
        total = [2 * p for p in before]
    if turned := _turned(layer):
        outputs = [
            (n - 1) * s - t + r + extra + 1
            for n, s, t, r, extra in zip(
                size, stride, total, reach, layer.output_padding, strict=True
            )
        ]
    else:
        outputs = [
            (n + t - r - 1) // s + 1 for n, s, t, r in zip(size, stride, total, reach, strict=True)
        ]
    return Spread(
        size, tuple(outputs), kernel, stride, tuple(before), dilation, layer.groups, turned
    )
