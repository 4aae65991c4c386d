"""The spike: a step forwards, a smooth slope backwards."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

ALPHA = 2.0
"""Slope of the surrogate gradient, snnTorch's default."""


def spike(u: Tensor, threshold: Tensor, fires_at: str) -> Tensor:
    """1 where ``u`` reaches (``fires_at='ge'``) or passes (``'gt'``) the threshold, else 0.

    Its gradient is the arctangent surrogate of Fang et al. 2021 (Incorporating learnable membrane
    time constant), ``alpha / 2 / (1 + (pi / 2 * alpha * (u - threshold))**2)`` with alpha = 2.
    """
    if torch.is_grad_enabled() and (u.requires_grad or threshold.requires_grad):
        fired: Tensor = _Spike.apply(u, threshold, fires_at)  # type: ignore[no-untyped-call]
        return fired
    return _fires(u, threshold, fires_at)


def _fires(u: Tensor, threshold: Tensor, fires_at: str) -> Tensor:
    return (u >= threshold if fires_at == "ge" else u > threshold).to(u.dtype)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, threshold: Tensor, fires_at: str) -> Tensor:
        ctx.save_for_backward(u, threshold)
        return _fires(u, threshold, fires_at)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        u, threshold = ctx.saved_tensors
        slope = ALPHA / 2 / (1 + (math.pi / 2 * ALPHA * (u - threshold)).square())
        grad = grads[0] * slope
        to_threshold = -grad.sum_to_size(threshold.shape) if ctx.needs_input_grad[1] else None
        return grad, to_threshold, None
