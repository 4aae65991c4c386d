"""What a name of an ONNX model may stand for while the model is read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from t1c.ir.fields import Array
from t1c.ir.shapes import Shape


@dataclass(frozen=True)
class Signal:
    """What depends on the input: it leaves a node of the graph.

    Attributes:
        node: the node.
        shape: without the batch, which is the first axis of the tensor in ONNX.
    """

    node: str
    shape: Shape

    @property
    def rank(self) -> int:
        """The axes of the tensor in ONNX."""
        return 1 + len(self.shape)


class Batch(Enum):
    """The size of the batch, which is not known, and is not to be computed with."""

    SIZE = "the size of the batch"


@dataclass(frozen=True)
class Sizes:
    """Sizes of axes, as ``Shape`` gives them: whole numbers, and that of the batch.

    Attributes:
        values: in order.
        scalar: one value by itself, without an axis.
    """

    values: tuple[int | Batch, ...]
    scalar: bool = False


Value = Signal | Sizes | Array
"""A signal, sizes of one, or numbers that are known."""
