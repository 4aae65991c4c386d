"""What ``recorder`` writes down: calls, and the values that pass between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from t1c.ir.errors import Problem

from ..modules.tied import trains
from .names import spoken

Site = tuple[Any, ...]
"""Where in the code something was called: every frame's code and instruction, outermost first."""


@dataclass(eq=False)
class Value:
    """A tensor of the run.

    Attributes:
        tensor: its numbers, as they were when the value came to be; where the record does not keep
            those that come from the input, a tensor of its shape and dtype without numbers.
        call: the call that returned it; None for an input or a constant.
        port: which of that call's tensors it is; states count from -1 downwards.
        number: which input it is, None if it is none.
        turn: for an input of a model that takes single steps: at which call of the model.
        attribute: the attribute of a module that held it before the run, if one did.
        holder: the attribute that a module held it in after a call of the model, with its path.
        trains: a constant that a parameter which trains had a part in.
    """

    tensor: Tensor
    call: Call | None = None
    port: int = 0
    number: int | None = None
    turn: int | None = None
    attribute: str = ""
    holder: str = ""
    trains: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return tuple(self.tensor.shape)

    @property
    def constant(self) -> bool:
        """Whether no input had any part in it."""
        return self.number is None and (self.call is None or self.call.constant)

    @property
    def is_state(self) -> bool:
        """Whether it is a state variable that a neuron returned or kept."""
        return self.port < 0


@dataclass(eq=False)
class Call:
    """One thing that a model did: a module that is a node, or an operation on tensors.

    Attributes:
        index: its place in the order of calls.
        name: of the operation, or the path of the module.
        function: what was called, with ``args`` and ``kwargs``, in which each tensor is a Value.
        inputs: the values among the arguments, in order.
        place: the line of the model, ``file:line``, or the path of the module where there is none.
        scope: the path of the innermost module around it.
        site: where in the code it was.
        turn: the call of the model that it belongs to, for one that takes single steps.
        module: the module, if it is one that is a node.
        previous: for a neuron, the call whose state it went on from.
        chain: for a neuron, the index of the first call of those that go on from each other.
        whole: a neuron that took all steps of a sequence in this one call.
        states: what a neuron kept or returned as its state.
        problem: why it cannot be part of a graph.
    """

    index: int
    name: str
    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[Value, ...]
    place: str
    scope: str
    site: Site
    turn: int | None = None
    module: nn.Module | None = None
    stamp: Any = None
    neuron: bool = False
    previous: Call | None = None
    chain: int | None = None
    whole: bool = False
    outputs: tuple[Value, ...] = ()
    states: tuple[Value, ...] = ()
    problem: Problem | None = None
    random: bool = False
    constant: bool = field(init=False)

    def __post_init__(self) -> None:
        """Note whether the inputs of the model have any part in the result."""
        self.constant = not self.random and all(v.constant for v in self.inputs)

    @property
    def trains(self) -> bool:
        """Whether the results are constants that change as parameters are trained."""
        held = () if self.module is None else self.module.parameters()
        return self.constant and (any(v.trains for v in self.inputs) or any(map(trains, held)))

    @property
    def what(self) -> str:
        """The call in the words of an error message."""
        return f"{spoken(self.name)!r} ({self.place})"


def called_at(call: Call) -> str:
    """A module that is a node, and the line of the model that called it, if there is one."""
    line = "" if call.place == "the model" else f", called at {call.place}"
    return f"module {call.name!r} ({type(call.module).__name__}{line})"


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        calls: in order.
        results: what the model returned, at each of its calls; tensors are Values.
        inputs: number -> the values that were passed in, one for each call of the model.
        kept: values that come from the input have their numbers.
    """

    calls: list[Call]
    results: list[Any]
    inputs: dict[int, list[Value]]
    kept: bool = True


def values_in(item: Any) -> Iterator[Value]:
    """All values in nested lists, tuples, dicts and slices, in order."""
    return _found_in(item, Value)


def tensors_in(item: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples, dicts and slices, in order."""
    return _found_in(item, Tensor)


def _found_in(item: Any, leaf: type) -> Iterator[Any]:
    found: list[Any] = []
    _find(item, leaf, found)
    return iter(found)


def _find(item: Any, leaf: type, found: list[Any]) -> None:
    # Of every argument of every operation: most are tensors and plain numbers.
    if isinstance(item, leaf):
        found.append(item)
    elif isinstance(item, _SEQUENCES):
        for part in item:
            _find(part, leaf, found)
    elif isinstance(item, dict):
        for part in item.values():
            _find(part, leaf, found)
    elif isinstance(item, slice):
        for part in (item.start, item.stop, item.step):
            _find(part, leaf, found)


_SEQUENCES = list, tuple
"""Asked for by a pair: a union would be made anew for every argument."""
_PLAIN = frozenset([int, float, bool, str, type(None)])
"""What holds nothing."""


def replaced(item: Any, leaf: type, function: Any) -> Any:
    """Nested arguments with every ``leaf`` made something else."""
    if isinstance(item, leaf):
        return function(item)
    if type(item) in _PLAIN:
        return item
    if isinstance(item, torch.Size):
        return tuple(item)
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        # Not by its constructor, which may look at what it is given.
        return tuple.__new__(type(item), (replaced(part, leaf, function) for part in item))
    if isinstance(item, _SEQUENCES):
        return type(item)(replaced(part, leaf, function) for part in item)
    if isinstance(item, Mapping):
        return {key: replaced(part, leaf, function) for key, part in item.items()}
    if isinstance(item, slice):
        parts = (replaced(p, leaf, function) for p in (item.start, item.stop, item.step))
        return slice(*parts)
    return item


def version_of(tensor: Tensor) -> int:
    """How often a tensor was written to; inference tensors do not count."""
    return 0 if tensor.is_inference() else tensor._version
