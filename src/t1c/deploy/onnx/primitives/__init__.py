"""What each primitive is in ONNX, one file per family, with the names of ``t1c.ir.primitives``."""

from ..registry import TRANSLATIONS
from . import (
    accumulate,
    activation,
    border,
    combine,
    convolution,
    delay,
    elementwise,
    linear,
    merge,
    neuron,
    normalization,
    pooling,
    reduce,
    reshape,
    split,
    threshold,
)

__all__ = [
    "TRANSLATIONS",
    "accumulate",
    "activation",
    "border",
    "combine",
    "convolution",
    "delay",
    "elementwise",
    "linear",
    "merge",
    "neuron",
    "normalization",
    "pooling",
    "reduce",
    "reshape",
    "split",
    "threshold",
]
