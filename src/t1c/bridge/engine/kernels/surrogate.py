"""The spike: a step forwards, a smooth slope backwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from t1c.ir.errors import InputError, Problem

from .observed import keeps_gradients

SLOPES = {
    "atan": 2.0,
    "fast_sigmoid": 25.0,
    "sigmoid": 25.0,
    "triangular": 1.0,
    "straight_through": 1.0,
}
"""Surrogate gradient -> its slope where none is given; those of snnTorch."""


@dataclass(frozen=True)
class Surrogate:
    """The derivative that a spike pretends to have, d being ``u - threshold`` and k the slope.

    ==================  ============================================  =========================
    name                derivative                                    source
    ==================  ============================================  =========================
    'atan'              k/2 / (1 + (pi/2 k d)^2)                      Fang et al. 2021
    'fast_sigmoid'      1 / (1 + k abs(d))^2                          Zenke and Ganguli 2018
    'sigmoid'           k sigma(k d) (1 - sigma(k d))                 Zenke and Ganguli 2018
    'triangular'        max(0, 1 - k abs(d))                          Bellec et al. 2018
    'straight_through'  1                                             Bengio et al. 2013
    ==================  ============================================  =========================

    Attributes:
        name: one of the above.
        slope: k, above 0; 'straight_through' has none. See ``SLOPES`` for the defaults.

    Raises:
        InputError: there is no such name, or the slope is not above 0.

    Example:
        >>> Surrogate("atan").derivative(torch.tensor([0.0, 1.0]))
        tensor([1.0000, 0.0920])
    """

    name: str = "atan"
    slope: float | None = None

    def __post_init__(self) -> None:
        """Check the name and settle the slope."""
        if self.name not in SLOPES:
            raise InputError(
                Problem(repr(self.name), f"one of {', '.join(SLOPES)}", field="surrogate")
            )
        k = SLOPES[self.name] if self.slope is None else float(self.slope)
        if not (math.isfinite(k) and k > 0):
            raise InputError(Problem(f"slope={self.slope}", "a number above 0", field="surrogate"))
        object.__setattr__(self, "slope", k)

    @property
    def k(self) -> float:
        """The slope."""
        assert self.slope is not None
        return self.slope

    def derivative(self, d: Tensor) -> Tensor:
        """The derivative at distances ``d`` of the membrane from its threshold."""
        k = self.k
        if self.name == "atan":
            return k / 2 / (1 + (math.pi / 2 * k * d).square())
        if self.name == "fast_sigmoid":
            return 1 / (1 + k * d.abs()).square()
        if self.name == "sigmoid":
            s = torch.sigmoid(k * d)
            return k * s * (1 - s)
        if self.name == "triangular":
            return (1 - k * d.abs()).clamp(min=0)
        return torch.ones_like(d)


ATAN = Surrogate()


class Surrogated:
    """A module that compares, and whose gradient is that of ``surrogate``."""

    surrogate: Surrogate = ATAN


def spike(u: Tensor, threshold: Tensor, fires_at: str, surrogate: Surrogate = ATAN) -> Tensor:
    """1 where ``u`` reaches (``fires_at='ge'``) or passes (``'gt'``) the threshold, else 0.

    Its gradient is that of ``surrogate``. Like the functions below it may be given what stands for
    a tensor: see ``kernels.generated.symbol``.
    """
    if has_torch_function((u, threshold)):
        return _told(spike, u, threshold, fires_at, surrogate)
    if _learns(u, threshold):
        fired: Tensor = _Spike.apply(u, threshold, fires_at, surrogate)  # type: ignore[no-untyped-call]
        return fired
    return _fires(u, threshold, fires_at)


def spikes(u: Tensor, threshold: Tensor, surrogate: Surrogate = ATAN) -> Tensor:
    """How many thresholds ``u`` holds: floor(u / threshold) where it reaches one, else 0.

    Its gradient is that of ``surrogate`` at the nearest multiple k of the threshold, k at least 1:
    the derivative at u - k threshold, and -k times that for the threshold.
    """
    if has_torch_function((u, threshold)):
        return _told(spikes, u, threshold, surrogate)
    if _learns(u, threshold):
        fired: Tensor = _Spikes.apply(u, threshold, surrogate)  # type: ignore[no-untyped-call]
        return fired
    return _counted(u, threshold)


def once(fired: Tensor) -> Tensor:
    """1 where there are spikes, with the gradient that they have."""
    if has_torch_function((fired,)):
        return _told(once, fired)
    # Added to the 1, and not taken off down to it: of 1e8 spikes at once none would be left.
    return fired.detach().clamp(max=1) + (fired - fired.detach())


def jump(fired: Tensor, target: Tensor, u: Tensor) -> Tensor:
    """``target`` where there are spikes, else ``u``, with the gradient of u + s (target - u)."""
    if has_torch_function((fired, target, u)):
        return _told(jump, fired, target, u)
    jumped = torch.where(fired > 0, target, u)
    # Adds nothing but a gradient.
    return jumped + (fired - fired.detach()) * (target - u).detach()


def _learns(u: Tensor, threshold: Tensor) -> bool:
    flows = torch.is_grad_enabled() and (u.requires_grad or threshold.requires_grad)
    return flows and keeps_gradients()


def _told(function: Any, *arguments: Any) -> Tensor:
    """What an argument that is no tensor makes of a function of this file."""
    found: Tensor = handle_torch_function(function, arguments, *arguments)
    return found


def nearest(u: Tensor, threshold: Tensor) -> Tensor:
    """Which multiple of the threshold is nearest to ``u``, of those from 1 on."""
    return (u / threshold + 0.5).floor().clamp(min=1)


def _counted(u: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(u >= threshold, (u / threshold).floor(), torch.zeros_like(u))


def _fires(u: Tensor, threshold: Tensor, fires_at: str) -> Tensor:
    return (u >= threshold if fires_at == "ge" else u > threshold).to(u.dtype)


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, threshold: Tensor, fires_at: str, surrogate: Surrogate) -> Tensor:
        return _fires(u, threshold, fires_at)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, threshold, _, ctx.surrogate = inputs
        ctx.save_for_backward(u, threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        u, threshold = ctx.saved_tensors
        grad = grads[0] * ctx.surrogate.derivative(u - threshold)
        to_threshold = -grad.sum_to_size(threshold.shape) if ctx.needs_input_grad[1] else None
        return grad, to_threshold, None, None


class _Spikes(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, threshold: Tensor, surrogate: Surrogate) -> Tensor:
        return _counted(u, threshold)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, threshold, ctx.surrogate = inputs
        ctx.save_for_backward(u, threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        u, threshold = ctx.saved_tensors
        k = nearest(u, threshold)
        grad = grads[0] * ctx.surrogate.derivative(u - k * threshold)
        to_threshold = -(k * grad).sum_to_size(threshold.shape) if ctx.needs_input_grad[1] else None
        return grad, to_threshold, None
