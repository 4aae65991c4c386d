"""The fingerprint of what a tensor holds: it tells every write, which a tensor's version does not.

Fused optimizers, writes through ``.data``, a NumPy view or shared memory do not count in a version.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .threads import share


def fingerprint(x: Tensor) -> bytes:
    """Of the bytes from the first element of a tensor on a CPU to its last."""
    from .numba_fingerprint import LANES, PART, take_in_parts

    size = extent(x)
    lanes = np.zeros((-(-size // (8 * PART)), LANES), np.uint64)
    share(take_in_parts, len(lanes), size // 4, x.data_ptr(), size, lanes)
    return lanes.tobytes()


def extent(x: Tensor) -> int:
    """Bytes from the first element in memory to the last."""
    if not x.numel():
        return 0
    last = sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True))
    return (last + 1) * x.element_size()
