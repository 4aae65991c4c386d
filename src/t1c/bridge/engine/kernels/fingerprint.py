"""The fingerprint of what tensors hold: it tells every write, which a tensor's version does not.

Fused optimizers, writes through ``.data``, a NumPy view or shared memory do not count in a version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor


class Fingerprints:
    """Of some tensors on a CPU, for as long as they lie where they do.

    Args:
        tensors: each is looked at from its first element in memory to its last.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        from .numba_fingerprint import PART

        parts: list[tuple[int, int]] = []
        self._rows: list[slice] = []
        for x in tensors:
            begin, size, first = x.data_ptr(), extent(x), len(parts)
            parts += [(begin + k, min(8 * PART, size - k)) for k in range(0, size, 8 * PART)]
            self._rows.append(slice(first, len(parts)))
        self._where = np.array(parts, np.int64).reshape(-1, 2)
        self._work = int(self._where[:, 1].sum()) // 4

    def take(self) -> Any:
        """All of them, to be compared."""
        from .native import FREE, share_out
        from .numba_fingerprint import LANES, take_in_each

        lanes = np.zeros((len(self._where), LANES), np.uint64)
        table = np.array([0] * FREE + [self._where.ctypes.data, lanes.ctypes.data], np.int64)
        share_out(take_in_each, table, len(self._where), self._work)
        return lanes

    def of(self, number: int, taken: Any) -> bytes:
        """The fingerprint of one of the tensors, of all that were taken."""
        found: bytes = taken[self._rows[number]].tobytes()
        return found


def fingerprint(x: Tensor) -> bytes:
    """Of the bytes from the first element of a tensor on a CPU to its last."""
    one = Fingerprints([x])
    return one.of(0, one.take())


def extent(x: Tensor) -> int:
    """Bytes from the first element in memory to the last."""
    if x.is_contiguous():
        return x.numel() * x.element_size()
    if not x.numel():
        return 0
    last = sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True))
    return (last + 1) * x.element_size()
