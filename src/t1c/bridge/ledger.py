"""Which tensor is what: the part of a trace that every other writes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from t1c.ir.errors import Problem, UnsupportedError

from .operations import features
from .place import here
from .record import Call, Entry, Fixed, Sent, Value, describe, is_constant, version_of


class Ledger:
    """The values of a run by the identity of their tensors, and the calls in order.

    Args:
        model: what runs.

    Attributes:
        calls: everything that was done, in order.
        state_inputs: the numbers of the sample's tensors that were a neuron's first state.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.state_inputs: set[int] = set()
        self._paths = {id(m): name for name, m in model.named_modules()}
        self._known: dict[int, tuple[Tensor, int, Value]] = {}
        self._written: dict[int, tuple[Tensor, Call]] = {}
        self._scope: list[str] = []
        self._inside = False

    def enter(self, number: int, tensor: Tensor) -> None:
        """Know a tensor of the sample."""
        self._know(tensor, Entry(number, features(tensor)))

    def value(self, tensor: Tensor) -> Value:
        """What a tensor is.

        Raises:
            UnsupportedError: it was overwritten after it was made.
        """
        known = self._known.get(id(tensor))
        if known is None:
            written = self._written.get(_memory(tensor)) if self._written else None
            return Fixed(tensor) if written is None else Sent(written[1])
        _, version, value = known
        if version != version_of(tensor):
            raise self._refusal(
                f"{describe(value)} was overwritten in place",
                "tensors that stay as they were made",
                "Write y = f(x) instead of changing x, or a view of it, in place.",
            )
        return value

    def _know(self, tensor: Tensor, value: Value) -> None:
        self._known[id(tensor)] = (tensor, version_of(tensor), value)

    def _write(self, tensor: Tensor, call: Call) -> None:
        """Know that a tensor, and every view of it, holds what a call put there."""
        self._written[_memory(tensor)] = tensor, call

    def _constant(self, item: Any) -> bool:
        return not isinstance(item, Tensor) or is_constant(self.value(item))

    def _quietly(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run something that is one thing in the record."""
        self._inside, before = True, self._inside
        try:
            return run(*args, **kwargs)
        finally:
            self._inside = before

    def _problem(self, found: str, expected: str = "", remedy: str = "") -> Problem:
        return Problem(found, expected, remedy, where=here())

    def _refusal(self, found: str, expected: str = "", remedy: str = "") -> UnsupportedError:
        return UnsupportedError(self._problem(found, expected, remedy))


def _memory(tensor: Tensor) -> int:
    """The memory that a tensor shares with its views."""
    return tensor.untyped_storage().data_ptr()
