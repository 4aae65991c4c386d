"""What a rule works with: one call, the axes around it, and what flows into it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape

from ..engine.spans import STEP
from ..modules.exporting import Fragment, Shape, array, refuse
from . import axes
from .axes import BATCH, TIME, Dims
from .drawing import Drawing, Signal
from .names import plain_name, spoken
from .record import Call, Value
from .steps import Steps


@dataclass(frozen=True)
class Unsaid:
    """An output that no graph can say; it is refused where it is used."""

    what: str


class Bench:
    """One call at the present step.

    Args:
        call: what is to become nodes.
        steps: the axes of its values.
        drawing: where nodes go.
        flowing: what flows into the call: a function of the place among its inputs.
        final: the call happens once, behind the last step.
        used: which of the results something takes.
        span: of what one such call is; see ``Families.span``.
    """

    def __init__(
        self,
        call: Call,
        steps: Steps,
        drawing: Drawing,
        flowing: Callable[[int], Signal],
        final: bool = False,
        used: Collection[int] = (0,),
        span: str = STEP,
    ) -> None:
        self.call, self.steps, self.drawing = call, steps, drawing
        self._flowing = flowing
        self.final, self.used, self.span = final, used, span

    # What flows in ---------------------------------------------------------------------------

    def x(self) -> Signal:
        """What flows into the first place."""
        return self.signal(self.call.inputs[0])

    def signal(self, value: Value) -> Signal:
        """What flows in for a value among the inputs."""
        return self._flowing(next(i for i, v in enumerate(self.call.inputs) if v is value))

    def stretched(self, value: Value) -> Signal:
        """What flows in for a value, with the features of the result."""
        signal, out = self.signal(value), self.out()
        if math.prod(signal.features) != math.prod(out):
            return self.copied(signal, out)
        return self.reshaped(signal, out)

    def dims(self, value: Value) -> Dims:
        """The axes of a value."""
        return self.steps.dims(value)

    def features(self, value: Value) -> Shape:
        """The shape of a value without time and batch; one number for each sample is (1,)."""
        return self.steps.features(value) or (1,)

    def out(self, port: int = 0) -> Shape:
        """The features of a result."""
        return self.features(self.call.outputs[port])

    def feature_axis(self, value: Value, dim: int) -> int:
        """The number of a feature axis among the features.

        Raises:
            UnsupportedError: it is time or the batch.
        """
        dims = self.dims(value)
        dim %= max(len(dims), 1)
        if axes.is_lead(dims[dim]):
            found = axes.roles(dims[dim])
            across = "across time" if found == {TIME} else "across the batch"
            raise refuse(
                f"{spoken(self.call.name)} works {across}"
                if BATCH not in found or found == {BATCH}
                else f"{spoken(self.call.name)} works across time and batch",
                "work on features; across time, a sum, a mean, a maximum or a minimum",
                "A graph runs step by step, and each sample by itself.",
            )
        return axes.features(dims).index(dim)

    def map_of(self, value: Value, lead: int = 1) -> None:
        """Refuse a layer whose own axes, behind the first, are time or the batch."""
        dims = self.dims(value)
        for i in range(lead, len(dims)):
            self.feature_axis(value, i)
        if any(not axes.is_lead(dim) for dim in dims[:lead]):
            raise refuse(
                f"{self.call.name} on {value.shape}, whose first axis is a feature",
                "the batch first",
                "Keep the batch dimension.",
            )

    def channels_of(self, value: Value, dim: int = 1) -> None:
        """Refuse a layer whose channels are not the first axis of the features.

        It treats each number by itself, as its channel says: what the others are does not matter.
        """
        if self.feature_axis(value, dim) != 0:
            raise refuse(
                f"{self.call.name} on {value.shape}, whose channels are not the first of its "
                f"features {self.features(value)}",
                "channels before all other features",
            )

    # Constants ---------------------------------------------------------------------------------

    @property
    def dtype(self) -> Any:
        """The numpy dtype of the numbers."""
        held = [*self.call.outputs, *self.call.inputs]
        found = next((v.tensor.dtype for v in held if v.tensor.is_floating_point()), torch.float32)
        found = torch.float32 if found == torch.bfloat16 else found
        return torch.empty(0, dtype=found).numpy().dtype

    def is_constant(self, item: Any) -> bool:
        """Whether an argument does not come from the input."""
        return not isinstance(item, Value) or item.constant

    def trains(self, item: Any) -> bool:
        """Whether a constant changes as parameters are trained."""
        return isinstance(item, Value) and item.trains

    def number(self, item: Any) -> float | None:
        """The one number that a constant is, None if it is several."""
        if not isinstance(item, Value):
            return float(item)
        return float(item.tensor.detach()) if item.tensor.numel() == 1 else None

    def scalar(self, number: float) -> Any:
        """One number as a parameter."""
        return np.array([number], self.dtype)

    def laid(self, item: Any, over: Shape | None = None) -> Any:
        """A constant as a parameter over the features of the result.

        Raises:
            UnsupportedError: it differs from step to step, or from sample to sample.
        """
        if not isinstance(item, Value):
            return self.scalar(item)
        if item.tensor.numel() == 1:
            return array(item.tensor.reshape(1)).astype(self.dtype)
        out = self.dims(self.call.outputs[0])
        values: Tensor = item.tensor
        values = values.reshape((1,) * (len(out) - values.ndim) + tuple(values.shape))
        for i, dim in enumerate(out):
            if not axes.is_lead(dim) or values.shape[i] == 1:
                continue
            if not bool((values == values.narrow(i, 0, 1)).all()):
                time = TIME in axes.roles(dim)
                raise refuse(
                    "a constant that differs from "
                    + ("step to step" if time else "sample to sample"),
                    "one that is the same for all",
                    "Pass it in as an input." if time else "",
                )
            values = values.narrow(i, 0, 1)
        kept = [values.shape[i] for i in axes.features(out)]
        return self._over(array(values.reshape(kept)).astype(self.dtype), over or self.out())

    def _over(self, values: Any, features: Shape) -> Any:
        if values.size == 1:
            return values.reshape(1)
        if len(values.shape) < len(features):
            values = values.reshape((1,) * (len(features) - len(values.shape)) + values.shape)
        parameter_shape(values.shape, features)
        if parameter_shape(values.shape, features) != values.shape:
            values = np.ascontiguousarray(np.broadcast_to(values, features))
        return values

    def constant(self, item: Any, like: Signal) -> Signal:
        """A constant as a signal that is the same at every step."""
        numbers = self.laid(item, like.features)
        value = item if isinstance(item, Value) else None
        return self.drawing.constant(numbers, like, self.call, value)

    # What flows out ------------------------------------------------------------------------------

    def emit(
        self,
        node: ir.Node | Fragment,
        *inputs: Signal,
        features: Shape | None = None,
        label: str = "",
        own: bool = False,
        of: Mapping[str, Any] | None = None,
        out_of: Mapping[str, Any] | None = None,
    ) -> Signal:
        """A node with the features of the result, unless others are given; see ``Drawing``."""
        return self.drawing.emit(
            node,
            *inputs,
            features=self.out() if features is None else features,
            label=label,
            call=self.call,
            own=own,
            of=_values(of),
            out_of=_values(out_of),
        )

    def apart(self, *signals: Signal) -> list[Signal]:
        """Signals from different places: what is used twice passes through a node of its own."""
        taken: list[Signal] = []
        for signal in signals:
            while any(t.spot is signal.spot and t.port == signal.port for t in taken):
                again = f"{plain_name(self.call.name)}.again"
                signal = self.emit(
                    ir.Skip("passthrough"), signal, features=signal.features, label=again
                )
            taken.append(signal)
        return taken

    def ranked(self, signal: Signal, rank: int) -> Signal:
        """A signal with so many feature axes: those of 1 come first."""
        missing = rank - len(signal.features)
        return self.reshaped(signal, (1,) * missing + signal.features) if missing > 0 else signal

    def reshaped(self, signal: Signal, shape: Shape) -> Signal:
        """A signal with other features of as many numbers."""
        if signal.features == shape:
            return signal
        if not shape:
            raise refuse(
                "a value of one number for each sample, and no axis of features",
                "at least one axis behind the batch",
                "Keep the axis, as x[:, 0:1] and keepdim=True do, or use x.unsqueeze(-1).",
            )
        if math.prod(signal.features) != math.prod(shape):
            raise refuse(
                f"features {signal.features} where {shape} were expected",
                "values whose shapes go together at every step",
            )
        while isinstance(signal.spot.node, ir.Reshape | ir.Flatten) and not signal.spot.own:
            signal = signal.spot.inputs[0]
            if signal.features == shape:
                return signal
        return self.emit(_reshape(signal.features, shape), signal, features=shape)

    def copied(self, signal: Signal, shape: Shape) -> Signal:
        """A signal with copies of itself along the axes of 1, as torch broadcasts them.

        Raises:
            UnsupportedError: the shapes do not broadcast.
        """
        signal = self.ranked(signal, len(shape))
        if any(n not in (1, m) for n, m in zip(signal.features, shape, strict=True)):
            raise refuse(
                f"features {signal.features} are copied into {shape}",
                "copies along axes of 1",
            )
        for axis, (n, m) in enumerate(zip(signal.features, shape, strict=True)):
            if n != m:
                signal = self._spread(signal, axis, m)
        return signal

    def _spread(self, signal: Signal, axis: int, count: int) -> Signal:
        """So many copies along an axis of 1: a product with ones, which changes no number."""
        before, after = signal.features[:axis], signal.features[axis + 1 :]
        last = self.reshaped(signal, (*before, *after, 1))
        ones = ir.Linear(np.ones((count, 1), self.dtype))
        copies = self.emit(ones, last, features=(*before, *after, count), label="copies")
        if not after:
            return copies
        last_axis = len(before) + len(after)
        order = [*range(axis), last_axis, *range(axis, last_axis)]
        moved = (*before, count, *after)
        return self.emit(ir.Transpose(tuple(order)), copies, features=moved, label="copies.axes")

    def slice(self, signal: Signal, axis: int, start: int, stop: int, step: int = 1) -> Signal:
        """A part of a feature axis."""
        n = len(range(start, stop, step))
        shape = (*signal.features[:axis], n, *signal.features[axis + 1 :])
        return self.emit(ir.Slice(axis, start, stop, step), signal, features=shape)

    def split(self, node: ir.Node, signal: Signal) -> Sequence[Signal]:
        """What a node with several outputs sends at each."""
        first = self.emit(node, signal)
        return [Signal(first.spot, self.out(port), port) for port in range(len(self.call.outputs))]

    def unsaid(self, what: str) -> Any:
        """An output that is refused where it is used."""
        return Unsaid(what)


def _values(items: Mapping[str, Any] | None) -> dict[str, Value]:
    """Those of the arguments that are no plain numbers."""
    return {name: v for name, v in (items or {}).items() if isinstance(v, Value)}


def _reshape(before: Shape, after: Shape) -> ir.Node:
    """Flatten where neighbouring axes are joined, else a Reshape."""
    joined = len(before) - len(after) + 1
    if joined >= 2 and after:
        for start in range(len(after)):
            end = start + joined
            merged = (*before[:start], math.prod(before[start:end]), *before[end:])
            if merged == after:
                return ir.Flatten(start, -1 if end == len(before) else end - 1)
    return ir.Reshape(after)
