"""ONNX operators and what they become, one file for each family.

Each operator is a function of a :class:`~t1c.onnx.operators.call.Call` that is entered in
``OPERATORS`` by its name, puts nodes into the graph, and gives what leaves them.
"""

from . import (
    activation,
    arithmetic,
    convolution,
    dense,
    joining,
    layout,
    normalization,
    padding,
    passing,
    picking,
    pooling,
    reduction,
    sizes,
)
from .registry import OPERATORS

__all__ = [
    "OPERATORS",
    "activation",
    "arithmetic",
    "convolution",
    "dense",
    "joining",
    "layout",
    "normalization",
    "padding",
    "passing",
    "picking",
    "pooling",
    "reduction",
    "sizes",
]
