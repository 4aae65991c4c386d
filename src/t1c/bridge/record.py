"""What ``trace`` writes down: calls, and the values that pass between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from t1c.ir.errors import Problem

from .exporting import Fragment

Shape = tuple[int, ...]
MEMBRANE = -1


@dataclass(frozen=True, eq=False)
class Entry:
    """A tensor of the sample; with ``time``, one step of the ``steps`` that it holds.

    ``swapped`` says that its first two dimensions, batch and time, have changed places; ``axis`` is
    the one of the sample that a step was taken from.
    """

    number: int
    shape: Shape
    time: int | None = None
    steps: int = 1
    swapped: bool = False
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Fixed:
    """A tensor that does not come from the sample: a parameter, zeros, a constant."""

    tensor: Tensor


@dataclass(frozen=True, eq=False)
class Sent:
    """What a call returned; ``port`` counts where it returned several tensors.

    ``MEMBRANE`` is the port of a neuron's membrane, used as a value.
    """

    call: Call
    port: int = 0


@dataclass(frozen=True, eq=False)
class StateOf:
    """A state variable after a call: good for the next call of the same neuron.

    ``last`` says that it is the last of them, the membrane.
    """

    call: Call
    index: int
    last: bool = False


@dataclass(frozen=True, eq=False)
class Steps:
    """One value for each time step, stacked."""

    values: tuple[Value, ...]


Value = Entry | Fixed | Sent | StateOf | Steps


@dataclass(eq=False)
class Call:
    """One thing that a model did: a module it called, or an operation on tensors.

    Attributes:
        index: its place in the order of calls.
        name: the module's path, or where the operation stands and what it is.
        place: the line of the model, ``file:line``.
        inputs: what it was given, without state.
        fragment: what it is in a graph; None where ``problem`` says why it is nothing.
        problem: why it cannot be part of a graph.
        module: the module that was called, if it was one.
        stamp: changes whenever the module's parameters do.
        previous: for a module with state, the call whose state it went on from.
        step: how many such calls there were before.
        stateful: the module keeps a state.
        ports: how many tensors it returned.
        echoes: the state variables that are what it returned.
    """

    index: int
    name: str
    place: str
    inputs: tuple[Value, ...]
    fragment: Fragment | None = None
    problem: Problem | None = None
    module: nn.Module | None = None
    stamp: Any = None
    previous: Call | None = None
    step: int = 0
    stateful: bool = False
    ports: int = 1
    echoes: tuple[int, ...] = ()
    constant: bool = field(init=False)
    static: bool = field(init=False)

    def __post_init__(self) -> None:
        """Note whether the sample, and whether time, has any part in the result."""
        usable = self.problem is None and not self.stateful
        self.constant = usable and all(is_constant(v) for v in self.inputs)
        self.static = not self.stateful and all(_is_static(v) for v in self.inputs)


def is_constant(value: Value) -> bool:
    """Whether a value does not depend on the sample."""
    return isinstance(value, Fixed) or (isinstance(value, Sent) and value.call.constant)


def _is_static(value: Value) -> bool:
    if isinstance(value, Entry):
        return value.time is None
    return isinstance(value, Fixed) or (isinstance(value, Sent) and value.call.static)


def as_data(value: Value) -> Value:
    """A membrane that a graph can give out, as a value; anything else as it is."""
    if isinstance(value, StateOf):
        fragment = value.call.fragment
        if fragment is not None and fragment.membrane is not None and value.last:
            return Sent(value.call, MEMBRANE)
    return value


def version_of(tensor: Tensor) -> int:
    """How often a tensor was written to; inference tensors do not count."""
    return 0 if tensor.is_inference() else tensor._version


def describe(value: Value) -> str:
    """A value in the words of an error message."""
    if isinstance(value, Entry):
        time = "" if value.time is None else f" at step {value.time}"
        return f"input {value.number}{time}"
    if isinstance(value, Fixed):
        return f"a constant of shape {tuple(value.tensor.shape)}"
    if isinstance(value, StateOf):
        return f"the state of {value.call.name!r} after step {value.call.step}"
    if isinstance(value, Steps):
        return f"a stack of {len(value.values)} steps"
    return f"what {value.call.name!r} returned ({value.call.place})"


def tensors_in(item: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dicts, in order."""
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, list | tuple):
        for part in item:
            yield from tensors_in(part)
    elif isinstance(item, dict):
        for part in item.values():
            yield from tensors_in(part)
