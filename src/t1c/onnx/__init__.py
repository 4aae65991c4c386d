"""ONNX models into graphs: ``t1c.onnx.read``, for networks without memory.

An ordinary CNN or MLP, exported from any framework as a ``.onnx`` file, becomes a Graph that
computes the same, sample by sample: the first axis of every tensor is the batch, and no operation
may mix it. What a graph cannot say exactly is refused by the name of its ONNX node. Needs the
``onnx`` package (``t1c[onnx]``), and no torch.
"""

from .api import OPSETS, from_onnx, read
from .operators import OPERATORS

__all__ = ["OPERATORS", "OPSETS", "from_onnx", "read"]


def __dir__() -> list[str]:
    """The interface, without the files that it is made of."""
    return __all__
