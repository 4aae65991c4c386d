"""One node of a model, with what arrives at it: what an operator works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.fields import Array

from ..attributes import Attributes
from ..building import Building
from ..raw import OnnxNode
from ..values import Signal, Sizes, Value


class Call:
    """What arrives at a node, its attributes, and the graph to put nodes into.

    Args:
        node: the node.
        inputs: what its inputs stand for; None where one is left out.
        wanted: the places of its outputs that somebody reads.
        opset: the version of the operators.
        building: the graph.
        batch: the size of the batch, where the file fixes it.
        read_once: for each input, whether nobody but this node reads it.
    """

    def __init__(
        self,
        node: OnnxNode,
        inputs: Sequence[Value | None],
        wanted: Sequence[int],
        opset: int,
        building: Building,
        batch: int | None,
        read_once: Sequence[bool],
    ) -> None:
        self.op, self.opset, self.wanted = node.op, opset, list(wanted)
        self.outputs = len(node.outputs)
        self.attributes = Attributes(node.attributes)
        self.inputs = list(inputs)
        self.batch = batch
        self.read_once = list(read_once)
        self._building = building
        self._name = node.proto.name or next((o for o in node.outputs if o), node.op)

    def signal(self, place: int = 0) -> Signal:
        """The signal that arrives at a place.

        Raises:
            UnsupportedError: it is none.
        """
        value = self.value(place)
        if not isinstance(value, Signal):
            kind = "sizes of a tensor" if isinstance(value, Sizes) else "numbers that do not change"
            raise UnsupportedError(
                Problem(f"input {place + 1} is {kind}", "what depends on the model's input")
            )
        return value

    def known(self, place: int, default: Any = None) -> Any:
        """The numbers that arrive at a place, as an array; the default where it is left out.

        Raises:
            UnsupportedError: they depend on the input.
        """
        value = self.value(place)
        if value is None:
            return default
        if not isinstance(value, np.ndarray):
            raise UnsupportedError(
                Problem(
                    f"input {place + 1} depends on the model's input",
                    "numbers that stand in the file",
                    "Export the model with constants there.",
                )
            )
        return value

    def ints(self, place: int, default: Any = None) -> Any:
        """Whole numbers that arrive at a place, as a tuple."""
        value = self.known(place)
        return default if value is None else tuple(int(n) for n in np.ravel(value))

    def value(self, place: int) -> Value | None:
        """What arrives at a place; None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def add(self, node: ir.Node, *inputs: Signal, part: str = "") -> Signal:
        """Put a node into the graph; of several that make up this one, each may name its part."""
        name = f"{self._name}.{part}" if part else self._name
        return self._building.add(name, node, *inputs)

    def node_of(self, signal: Signal) -> ir.Node:
        """The node of the graph that a signal leaves."""
        return self._building.nodes[signal.node]

    def replace(self, signal: Signal, node: ir.Node) -> Signal:
        """Another node in the place of the one that a signal leaves."""
        return self._building.replace(signal, node)

    def axis(self, axis: int, rank: int) -> int:
        """An axis of a tensor, counted from the start of its features.

        Raises:
            UnsupportedError: it is the batch, or there is none such.
        """
        if not -rank <= axis < rank:
            raise UnsupportedError(Problem(f"axis {axis} of {rank}", f"{-rank} to {rank - 1}"))
        if axis % rank == 0:
            raise UnsupportedError(
                Problem(
                    f"axis {axis} is the batch, whose samples it would mix",
                    "an axis of features, 1 or later",
                    "The first axis of every tensor is taken for the batch.",
                )
            )
        return axis % rank - 1

    def refuse(self, found: str, expected: str = "", remedy: str = "") -> UnsupportedError:
        """What cannot be said, to be raised."""
        return UnsupportedError(Problem(found, expected, remedy))


def laid(call: Call, numbers: Array, signal: Signal) -> Array:
    """Numbers as they lie over a signal's features by ONNX's rule, which aligns the last axes.

    Returns:
        One number as (1,), or as many axes as the features have, each of their size or of 1.

    Raises:
        UnsupportedError: they differ between samples, or stretch the signal.
    """
    numbers = np.asarray(numbers)
    if numbers.size == 1 and numbers.ndim <= signal.rank:
        return numbers.reshape(1)
    shape = (1,) * (signal.rank - numbers.ndim) + numbers.shape
    fits = len(shape) == signal.rank and all(
        a in (1, b) for a, b in zip(shape[1:], signal.shape, strict=True)
    )
    if not fits or shape[0] != 1:
        raise call.refuse(
            f"numbers of shape {numbers.shape} for a signal of shape (batch, "
            f"{', '.join(map(str, signal.shape))})",
            "one number, or one for each channel or element, the same for all samples",
        )
    return numbers.reshape(shape[1:])
