"""The states of many streams as rows of one table.

A network's state has the batch as its first axis, in every variable of every node: what lies in one
row belongs to one stream, and a batch of any streams is gathered from their rows.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import torch
from torch import Tensor

from t1c.bridge.engine.state_checks import States
from t1c.ir.errors import InputError, Problem

FEW = 8
"""Rows that a table begins with; it doubles when they are taken."""


class Rows:
    """A table of states.

    ``take`` and ``free`` count rows and may be called while another thread works on rows that are
    taken: only ``rest``, ``gather`` and ``put`` touch tensors. When the last row is freed the table
    is let go of.

    Args:
        rest: the state at rest of one sample.
        limit: how many rows there are at most.
    """

    def __init__(self, rest: States, limit: int) -> None:
        self.limit, self._rest = limit, rest
        self._free: list[int] = []
        self._next = 0
        self.taken = 0
        self._tables: dict[str, list[Tensor]] = {}
        self._capacity = 0

    @property
    def bytes(self) -> int:
        """What the state of one stream takes."""
        return sum(v.numel() * v.element_size() for own in self._rest.values() for v in own)

    @property
    def held(self) -> int:
        """The rows that there is memory for now."""
        return self._capacity

    def take(self) -> int:
        """A row that nobody has; the lowest, so that the table stays small.

        Raises:
            InputError: all are taken.
        """
        if self.taken == self.limit:
            raise InputError(Problem(f"{self.limit} rows of state are taken", "one that is free"))
        self.taken += 1
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def free(self, row: int) -> None:
        """Give a row back, which nobody works on any more."""
        self.taken -= 1
        heapq.heappush(self._free, row)
        if not self.taken:
            self._free, self._next = [], 0
            self._tables, self._capacity = {}, 0

    def rest(self, rows: Sequence[int]) -> None:
        """Let these rows be at rest, from which a stream starts."""
        self._hold(max(rows) + 1)
        index = torch.tensor(rows)
        for name, own in self._rest.items():
            for table, first in zip(self._tables[name], own, strict=True):
                table[index] = first

    def at_rest(self, samples: int) -> States:
        """The state of so many samples before their first step."""
        return {
            name: tuple(v.expand(samples, *v.shape[1:]) for v in own)
            for name, own in self._rest.items()
        }

    def gather(self, index: Tensor) -> States:
        """The state of a batch of these rows."""
        return {
            name: tuple(table.index_select(0, index) for table in tables)
            for name, tables in self._tables.items()
        }

    def put(self, index: Tensor, states: States) -> None:
        """Keep the state of a batch in these rows; what it has beyond their number is dropped."""
        count = len(index)
        for name, tables in self._tables.items():
            for table, own in zip(tables, states[name], strict=True):
                table.index_copy_(0, index, own[:count])

    def _hold(self, rows: int) -> None:
        """Make the table so long, at least."""
        if rows <= self._capacity:
            return
        capacity = max(FEW, self._capacity)
        while capacity < rows:
            capacity *= 2
        for name, own in self._rest.items():
            before = self._tables.get(name, [v[:0] for v in own])
            self._tables[name] = [
                torch.cat([table, v.expand(capacity - len(table), *v.shape[1:])])
                for table, v in zip(before, own, strict=True)
            ]
        self._capacity = capacity
