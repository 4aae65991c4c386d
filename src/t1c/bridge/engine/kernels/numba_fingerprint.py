"""Whether memory holds what it held: a fingerprint of its bytes in one pass, for CPUs.

64 lanes take in every 64th word, each through a generator of period 2^64 - 1 (xorshift, Marsaglia
2003): one word that changes always shows, and so do two unless the second undoes the first through
as many rounds, which chance does once in 2^64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from .compiled import Array, compiled, put
from .native import FREE, SIZE, claim, native
from .numba_calls import pointer

LANES = 64
PART = 2**17
"""Words of a part that has a fingerprint of its own, so that several threads may look."""


@compiled
def take_in(address: int, size: int, lanes: Array) -> None:
    """Let ``lanes`` (64,) take in the ``size`` bytes at ``address``."""
    # Where no words begin, bytes alone.
    count = size // 8 if address % 8 == 0 else 0
    words = carray(pointer(address), (count,), np.uint64)
    whole = count // LANES * LANES
    if whole:
        # A local array: the compiler sees that it overlaps nothing.
        y = np.empty(LANES, np.uint64)
        put(lanes, y)
        for begin in range(0, whole, LANES):
            x = words[begin : begin + LANES]
            for k in range(LANES):
                h = y[k] ^ x[k]
                h ^= h << np.uint64(13)
                h ^= h >> np.uint64(7)
                y[k] = h ^ (h << np.uint64(17))
        put(y, lanes)
    for k in range(whole, count):
        _mix(lanes, k - whole, words[k])
    for byte in carray(pointer(address + 8 * count), (size - 8 * count,), np.uint8):
        _mix(lanes, 0, np.uint64(byte))


@compiled
def _mix(lanes: Array, k: int, x: np.uint64) -> None:
    h = lanes[k] ^ x
    h ^= h << np.uint64(13)
    h ^= h >> np.uint64(7)
    lanes[k] = h ^ (h << np.uint64(17))


@compiled
def take_in_all(addresses: Array, sizes: Array, lanes: Array) -> None:
    """Let ``lanes`` (64,) take in several stretches of memory, one after another."""
    for k in range(len(addresses)):
        take_in(addresses[k], sizes[k], lanes)


@native
def take_in_each(data: Any) -> None:  # pragma: no cover - compiled
    """Each stretch of memory into lanes of its own.

    The table has the addresses of two arrays: (n, 2) with the address and the size in bytes of each
    stretch, and (n, 64) for the lanes.
    """
    table = carray(data, (FREE + 2,), np.int64)
    where = carray(pointer(table[FREE]), (table[SIZE], 2), np.int64)
    lanes = carray(pointer(table[FREE + 1]), (table[SIZE], LANES), np.uint64)
    while True:
        k = claim(data)
        if k >= table[SIZE]:
            break
        take_in(where[k, 0], where[k, 1], lanes[k])
