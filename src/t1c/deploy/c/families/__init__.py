"""The primitives in C, one file per family, as in ``t1c.ir.primitives``."""

from __future__ import annotations

import functools
import importlib

NAMES = (
    "accumulate",
    "activation",
    "combine",
    "convolution",
    "delay",
    "elementwise",
    "linear",
    "matmul",
    "merge",
    "neuron",
    "normalization",
    "pooling",
    "reduce",
    "region",
    "reshape",
    "softmax",
    "threshold",
    "upsample",
)


@functools.cache
def load() -> None:
    """Have every family register its writers."""
    for name in NAMES:
        importlib.import_module(f"{__name__}.{name}")
