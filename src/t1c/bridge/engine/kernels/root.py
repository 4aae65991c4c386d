"""Square roots, rounded correctly, as the reference and compiled loops have them.

On a CPU torch takes them from MKL, which rounds one in six of float32 and one in eighty of float64
otherwise than IEEE 754 says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .observed import is_observed


def root(x: Tensor) -> Tensor:
    """The square root of each element: differentiable, and of any shape.

    Whatever looks at torch's operations (``torch.compile``, ``vmap``, ...) sees torch's own root.
    """
    kept = x.dtype in (torch.float32, torch.float64) and x.device.type == "cpu"
    if not kept or torch.compiler.is_compiling() or is_observed(x):
        return torch.sqrt(x)
    found: Tensor = _Root.apply(x)  # type: ignore[no-untyped-call]
    return found


class _Root(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        with np.errstate(invalid="ignore"):
            np.sqrt(x.detach().numpy(), out=y.numpy())
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        y: Tensor
        (y,) = ctx.saved_tensors
        return g / (2 * y)
