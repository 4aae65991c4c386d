"""A first step that is no exception after all: memory that starts from 0 explains it.

``v = x if v is None else 0.9 * v + x`` is ``0.9 * v + x`` with v = 0 before the first step. What a
family would have given there is worked out by running its calls once more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .families import Families, Slot
from .record import Value, replaced
from .steps import At, Key, numbers_at


class NumbersNeededError(Exception):
    """A record that kept no numbers has a first step that only numbers can explain."""


class FirstStep:
    """Leaves out exceptions at the first step of families.

    Args:
        families: whose ``first`` is gone through.
    """

    def __init__(self, families: Families) -> None:
        self._families, self._steps = families, families.steps

    def simplify(self) -> None:
        """Leave out exceptions at the first step that memory starting from 0 explains.

        ``v = x if v is None else 0.9 * v + x`` is ``0.9 * v + x`` with v = 0 before the first step.

        Raises:
            NumbersNeededError: the run has to be recorded with its numbers.
        """
        if self._families.first and not self._steps.record.kept:
            raise NumbersNeededError
        for member, found in list(self._families.first.items()):
            key, port = member
            try:
                regular = self._replay(key, port, {})
                actual = numbers_at(self._steps, found.at, 0)
                same = regular is not None and torch.equal(
                    *torch.broadcast_tensors(regular, actual.to(regular.dtype))
                )
            except Exception:  # what torch cannot do with these numbers explains nothing
                same = False
            if same:
                del self._families.first[member]

    def _replay(
        self, key: Key, port: int, done: dict[tuple[Key, int], Tensor | None]
    ) -> Tensor | None:
        """What a family would give at the first step, memory being 0 where nothing else is said."""
        if (key, port) in done:
            return done[key, port]
        done[key, port] = None
        call = self._families.now(key)[0]
        members = self._families.members[key]
        if key[0] == "whole" or call.neuron or 0 in members or None in members:
            member = members.get(0, call)
            value = next((v for v in member.outputs if v.port == port), None)
            done[key, port] = None if value is None else numbers_at(self._steps, At(value, 0), 0)
            return done[key, port]
        numbers: dict[Value, Tensor | None] = {}
        for place, value in enumerate(call.inputs):
            numbers[value] = self._replayed_input(self._families.slot(key, place), value, done)
        if any(n is None for n in numbers.values()):
            return None

        def put(value: Value) -> Any:
            return numbers[value]

        given = replaced(call.args, Value, put), replaced(dict(call.kwargs), Value, put)
        # An overload of torch's core wants numbers where the record holds them as constants.
        function = getattr(call.function, "overloadpacket", call.function)
        with torch.no_grad():
            result = (
                call.module(*[numbers[v] for v in call.inputs])
                if call.module is not None
                else function(*given[0], **given[1])
            )
        parts = result if isinstance(result, tuple | list) else [result]
        done[key, port] = parts[port] if isinstance(parts[port], Tensor) else None
        return done[key, port]

    def _replayed_input(
        self, slot: Slot, value: Value, done: dict[tuple[Key, int], Tensor | None]
    ) -> Tensor | None:
        ref = self._families.reaches[slot]
        if ref.key is None:
            return value.tensor
        if ref.lag:
            known = self._families.initial.get(slot)
            return torch.zeros_like(value.tensor) if known is None else known.tensor
        if ref.key[0] == "input":
            first = next(iter(self._steps.record.inputs[ref.key[1]]))
            return numbers_at(self._steps, At(first, 0), 0)
        return self._replay(ref.key, ref.port, done)
