"""The numbers that kernels compute with besides those of neurons."""

from __future__ import annotations

import math
from typing import Any

import torch

from .surrogate import Surrogate


def of_arithmetic(dtype: torch.dtype) -> torch.dtype:
    """What kernels compute in and add up gradients of coefficients in: half types in float32."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


_CONSTANTS: dict[tuple[Any, ...], Any] = {}


def constants(surrogate: Surrogate, dtype: torch.dtype) -> Any:
    """Zero, one and the two numbers of the surrogate, in the dtype of the arithmetic."""
    key = (surrogate, dtype)
    found = _CONSTANTS.get(key)
    if found is None:
        k = surrogate.k
        pair = (k / 2, math.pi / 2 * k) if surrogate.name == "atan" else (k, 0.0)
        found = _CONSTANTS[key] = torch.tensor([0.0, 1.0, *pair], dtype=dtype).numpy()
    return found
