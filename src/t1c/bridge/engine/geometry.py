"""Convolutions and pools of torch as the kernels know them: maps, and windows on them."""

from __future__ import annotations

from torch import nn

from .kernels.convolution import Convolution, Pool
from .work import is_plain

Convolving = nn.Conv1d | nn.Conv2d


def convolution_of(layer: Convolving, inputs: tuple[int, ...]) -> Convolution:
    """A convolution on maps of ``inputs`` (C, H, W), or lines (C, W)."""
    line = isinstance(layer, nn.Conv1d)
    if line:
        inputs = (inputs[0], 1, inputs[1])

    def pair(values: tuple[int, ...], row: int = 1) -> tuple[int, int]:
        return (row, values[0]) if line else (values[0], values[1])

    kernel, stride, dilation = pair(layer.kernel_size), pair(layer.stride), pair(layer.dilation)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if layer.padding == "same":
        total = reach
        padding = (reach[0] // 2, reach[1] // 2)
    elif layer.padding == "valid":
        total, padding = [0, 0], (0, 0)
    else:
        padding = pair(layer.padding, 0)  # type: ignore[arg-type]
        total = [2 * p for p in padding]
    rows, columns = (
        (size + t - r - 1) // s + 1
        for size, t, r, s in zip(inputs[1:], total, reach, stride, strict=True)
    )
    return Convolution(
        (inputs[0], inputs[1], inputs[2]),
        (layer.out_channels, rows, columns),
        kernel,
        stride,
        padding,
        dilation,
        line,
    )


def pool_of(module: nn.Module, inputs: tuple[int, int, int]) -> Pool | None:
    """The windows of a pool, if they neither overlap the border nor skip elements."""
    if type(module) not in (nn.MaxPool2d, nn.AvgPool2d) or not is_plain(module):
        return None
    assert isinstance(module, nn.MaxPool2d | nn.AvgPool2d)

    def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else (value[0], value[1])

    odd = module.ceil_mode or pair(module.padding) != (0, 0)
    if isinstance(module, nn.MaxPool2d):
        odd = odd or pair(module.dilation) != (1, 1) or module.return_indices
    else:
        odd = odd or module.divisor_override is not None
    window, stride = pair(module.kernel_size), pair(module.stride)
    rows, columns = (
        (size - w) // s + 1 for size, w, s in zip(inputs[1:], window, stride, strict=True)
    )
    if odd or rows < 1 or columns < 1:
        return None
    kind = "max" if isinstance(module, nn.MaxPool2d) else "mean"
    return Pool(kind, window, stride, (inputs[0], rows, columns))
