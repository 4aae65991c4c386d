"""What a network takes and gives in one step, as named arrays and as one row of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.shapes import Shape


@dataclass(frozen=True)
class Port:
    """An Input or an Output.

    Attributes:
        name: of the node.
        shape: of one step of one sample.
    """

    name: str
    shape: Shape

    @property
    def size(self) -> int:
        """How many numbers that is."""
        return math.prod(self.shape)


class Ports:
    """All Inputs, or all Outputs, of a network, in its order.

    A step is also one row: the features of all of them one after another, in C order.

    Args:
        ports: them.
        dtype: of their numbers.

    Example:
        >>> ports = Ports([Port("a", (2,)), Port("b", (1, 3))], np.float32)
        >>> ports.width, {n: x.shape for n, x in ports.split(np.zeros((7, 5))).items()}
        (5, {'a': (7, 2), 'b': (7, 1, 3)})
    """

    def __init__(self, ports: Sequence[Port], dtype: Any) -> None:
        self.ports, self.dtype = tuple(ports), np.dtype(dtype)
        self.width = sum(port.size for port in ports)

    @property
    def bytes(self) -> int:
        """What one step takes."""
        return self.width * int(self.dtype.itemsize)

    def split(self, rows: Array) -> dict[str, Array]:
        """Rows (T, width) as arrays (T, *shape) by name."""
        found, at = {}, 0
        for port in self.ports:
            found[port.name] = rows[:, at : at + port.size].reshape(len(rows), *port.shape)
            at += port.size
        return found

    def join(self, arrays: Mapping[str, Array]) -> Array:
        """Arrays (T, *shape) by name as rows (T, width)."""
        parts = [np.reshape(arrays[p.name], (len(arrays[p.name]), p.size)) for p in self.ports]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def inputs_of(graph: ir.Graph, dtype: Any) -> Ports:
    """What a graph takes."""
    return Ports([Port(n, tuple(node.shape)) for n, node in graph.inputs().items()], dtype)


def outputs_of(graph: ir.Graph, dtype: Any) -> Ports:
    """What a graph gives."""
    return Ports([Port(n, tuple(node.shape)) for n, node in graph.outputs().items()], dtype)
