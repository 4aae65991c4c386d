"""What Triton has no name of its own for, where bits count."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def root(a):  # pragma: no cover
    """The square root, rounded correctly."""
    # Triton takes that of float32 in haste unless told otherwise.
    return tl.sqrt_rn(a) if a.dtype == tl.float32 else tl.sqrt(a)


@triton.jit
def to_even(a):  # pragma: no cover
    """The nearest whole number, the even one of two."""
    low = tl.floor(a)
    rest = a - low
    odd = low - 2 * tl.floor(low * 0.5) == 1
    return tl.where((rest > 0.5) | ((rest == 0.5) & odd), low + 1, low)
