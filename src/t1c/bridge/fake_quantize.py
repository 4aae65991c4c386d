"""Training with the weights that integers will have: rounded, and straight through backwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from t1c.ir.errors import InputError, Problem, UnsupportedError

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d)
"""Modules whose weights are rounded."""


class IntegerWeight(nn.Module):
    """Rounds a weight as ``sdk.quantize`` does with ``fit='largest'``.

    ``scale * clip(round(w / scale))`` with the scale that makes the largest weight, of each output
    channel or of all, the largest integer of so many bits. The gradient passes as if nothing were
    rounded.

    Args:
        bits: of a weight, 2 to 16.
        channel: along which axis output channels lie; None: one scale for the whole weight.
        power_of_two: the scale is one.
    """

    def __init__(self, bits: int, channel: int | None = 0, power_of_two: bool = False) -> None:
        super().__init__()
        if not 2 <= bits <= 16:
            raise InputError(Problem(f"{bits}", "2 to 16", field="weight_bits"))
        self.bits, self.channel, self.power_of_two = bits, channel, power_of_two

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that integers will have, of the same shape and dtype."""
        rounded: Tensor = _Rounded.apply(weight, self)  # type: ignore[no-untyped-call]
        return rounded

    def rounded(self, weight: Tensor) -> Tensor:
        """What ``forward`` gives, worked in float64."""
        most = 2 ** (self.bits - 1) - 1
        wide = weight.detach().double()
        axes = [axis for axis in range(weight.ndim) if axis != self.channel]
        scale = wide.abs().amax(dim=axes, keepdim=True) / most
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        if self.power_of_two:
            scale = 2.0 ** torch.ceil(torch.log2(scale) - 1e-9)
        return (torch.round(wide / scale).clamp(-most, most) * scale).to(weight.dtype)

    def extra_repr(self) -> str:
        """The bits."""
        return f"bits={self.bits}"


class _Rounded(torch.autograd.Function):
    """Rounding forwards, nothing backwards."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, how: IntegerWeight) -> Tensor:
        return how.rounded(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def fake_quantize(
    model: nn.Module,
    weight_bits: int | Mapping[str, int] = 8,
    *,
    per_channel: bool = True,
    power_of_two: bool = False,
) -> list[str]:
    """Let a network train with the weights that it will have in integers.

    Every linear layer and convolution of an executor, or of any model, keeps its weight, and works
    with that weight rounded. Train on as usual; then ``settle_weights`` makes the rounded weights
    those of the model, and ``to_ir`` and ``sdk.quantize`` with the same bits give these integers,
    where a layer shares its scale with no other and nothing else asks for a larger one.

    Args:
        model: an executor or another module; it is changed.
        weight_bits: 2 to 16; or layer -> bits, by the name of the module: those left out stay.
        per_channel: as of ``sdk.quantize``.
        power_of_two: as ``scales='power_of_two'`` there.

    Returns:
        The names of the layers.

    Raises:
        InputError: bits out of range, or a name that no layer has.
        UnsupportedError: a transposed convolution of several groups.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1, bias=False)
        >>> _ = layer.weight.data.copy_(torch.tensor([[0.75, 0.3]]))
        >>> fake_quantize(torch.nn.Sequential(layer), 3)
        ['0']
        >>> layer.weight.tolist()
        [[0.75, 0.25]]
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}
    bits = weight_bits if isinstance(weight_bits, Mapping) else dict.fromkeys(layers, weight_bits)
    for name in bits:
        if name not in layers:
            raise InputError(Problem(repr(name), f"one of {list(layers)}", field="weight_bits"))
    for name, width in bits.items():
        layer: Any = layers[name]
        transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
        if transposed and per_channel and layer.groups > 1:
            raise UnsupportedError(
                Problem(
                    f"a transposed convolution of {layer.groups} groups",
                    remedy="Pass per_channel=False.",
                    where=f"layer {name!r}",
                )
            )
        channel = int(transposed) if per_channel else None
        rounding = IntegerWeight(width, channel, power_of_two)
        parametrize.register_parametrization(layer, "weight", rounding)
    return list(bits)


def settle_weights(model: nn.Module) -> None:
    """Make the rounded weights of ``fake_quantize`` the weights of the model.

    Args:
        model: what it was called on; it is changed back to plain layers.
    """
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight") and any(
            isinstance(p, IntegerWeight)
            for p in module.parametrizations["weight"]  # type: ignore[index]
        ):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
