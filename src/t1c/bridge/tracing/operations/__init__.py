"""What each operation is in a graph: the nodes that do the same at one step.

A rule takes a ``Bench``, which knows the call, its axes and what flows into it, and returns what
flows out. Axes count features only here; what touches time or the batch is refused, but for
reductions over time, which accumulate. One file for each family of operations.
"""

from . import (
    activation,
    arithmetic,
    comparison,
    einsum,
    layers,
    padding,
    picking,
    quantization,
    reduction,
    shape,
)
from .rules import rule_of

__all__ = [
    "activation",
    "arithmetic",
    "comparison",
    "einsum",
    "layers",
    "padding",
    "picking",
    "quantization",
    "reduction",
    "rule_of",
    "shape",
]
