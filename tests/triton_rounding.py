"""A kernel that rounds and does nothing else."""

import triton
import triton.language as tl

from t1c.bridge.engine.kernels.triton_scan import narrowed, rounded, widened


@triton.jit
def round_all(x, kept, wide, dtype: tl.constexpr, N: tl.constexpr):
    """Round ``x`` to what ``kept`` holds; ``wide`` is that, widened again."""
    n = tl.arange(0, N)
    y = narrowed(rounded(tl.load(x + n), dtype), dtype)
    tl.store(kept + n, y)
    tl.store(wide + n, widened(y))
