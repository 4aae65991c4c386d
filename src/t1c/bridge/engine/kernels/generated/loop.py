"""A loop over time as a list: what is computed of each element in each step.

An entry is one operation on entries before it, so that a list of them is an expression whose parts
may be used more than once. Nothing here knows what an operation means; see ``operations``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

LEAVES = ("read", "carried", "laid", "single", "number")
"""What an entry may be besides an operation: see ``Entry``."""
Detail = Any
"""A number, or a surrogate gradient."""


@dataclass(frozen=True)
class Entry:
    """An operation, or a leaf, whose ``detail`` says which one.

    ===========  ==============================================================
    'read'       what array number ``detail`` holds for this step and element
    'carried'    what the step before handed on, number ``detail``
    'laid'       parameter number ``detail`` that has a value for each element
    'single'     parameter number ``detail`` that is one number for all
    'number'     the number ``detail``
    ===========  ==============================================================

    Attributes:
        op: a leaf, or a row of ``operations.OPERATIONS``.
        operands: places of earlier entries.
        detail: which leaf; the surrogate gradient of an operation that fires.
    """

    op: str
    operands: tuple[int, ...] = ()
    detail: Detail = None


@dataclass(frozen=True)
class Loop:
    """What happens in each step; all numbers are places of entries.

    Attributes:
        entries: each after its operands.
        writes: what is written down in each step, one array for each.
        carried: what is handed on to the next step, in the order of the 'carried' leaves.
        sums: what is added up over all steps.
        backwards: steps are taken from the last to the first.
        over: pairs (n, array): what is the n-th to be written is written over this array that is
            read, so that the two are one array.
    """

    entries: tuple[Entry, ...]
    writes: tuple[int, ...]
    carried: tuple[int, ...]
    sums: tuple[int, ...] = ()
    backwards: bool = False
    over: tuple[tuple[int, int], ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        # Of a long list, which is looked up again and again.
        rest = (self.writes, self.carried, self.sums, self.backwards, self.over)
        return hash((self.entries, *rest))

    @functools.cached_property
    def reads(self) -> tuple[int, ...]:
        """The arrays that are read, by number."""
        return self._details("read")

    @functools.cached_property
    def numbers(self) -> tuple[float, ...]:
        """The numbers in it, in the order of their entries."""
        return tuple(e.detail for e in self.entries if e.op == "number")

    def _details(self, leaf: str) -> tuple[int, ...]:
        return tuple(sorted(e.detail for e in self.entries if e.op == leaf))

    def leaves(self, leaf: str) -> dict[int, int]:
        """Number of a leaf -> its place."""
        return {e.detail: place for place, e in enumerate(self.entries) if e.op == leaf}

    def pruned(self) -> Loop:
        """The same without entries that nothing needs."""
        needed = {*self.writes, *self.carried, *self.sums}
        for place in range(len(self.entries) - 1, -1, -1):
            if place in needed:
                needed.update(self.entries[place].operands)
        kept = sorted(needed)
        at = {place: n for n, place in enumerate(kept)}

        def moved(places: Iterable[int]) -> tuple[int, ...]:
            return tuple(at[p] for p in places)

        entries = (self.entries[p] for p in kept)
        return replace(
            self,
            entries=tuple(replace(e, operands=moved(e.operands)) for e in entries),
            writes=moved(self.writes),
            carried=moved(self.carried),
            sums=moved(self.sums),
        )


@dataclass
class Writer:
    """Writes entries down, each once."""

    entries: list[Entry] = field(default_factory=list)
    _places: dict[Any, int] = field(default_factory=dict)

    def add(self, op: str, *operands: Value | float, detail: Detail = None) -> Value:
        """An entry; plain numbers among the operands become entries too."""
        values = [v if isinstance(v, Value) else self.number(v) for v in operands]
        return self.entry(Entry(op, tuple(v.place for v in values), detail))

    def number(self, number: float) -> Value:
        """An entry for a number."""
        return self.entry(Entry("number", (), float(number)))

    def entry(self, entry: Entry) -> Value:
        """The value of an entry, which is written down if it is new."""
        # -0.0 equals 0.0, and NaN not even itself.
        detail = entry.detail.hex() if isinstance(entry.detail, float) else entry.detail
        key = (entry.op, entry.operands, detail)
        if key not in self._places:
            self._places[key] = len(self.entries)
            self.entries.append(entry)
        return Value(self, self._places[key])

    def loop(
        self,
        writes: Sequence[Value],
        carried: Sequence[Value],
        sums: Sequence[Value] = (),
        backwards: bool = False,
    ) -> Loop:
        """The loop that computes these values, and nothing else."""
        written, handed, added = (
            tuple(v.place for v in values) for values in (writes, carried, sums)
        )
        return Loop(tuple(self.entries), written, handed, added, backwards).pruned()


@dataclass(frozen=True)
class Value:
    """The value of an entry; arithmetic on it writes further entries."""

    writer: Writer
    place: int

    def apply(self, op: str, *others: Value | float, detail: Detail = None) -> Value:
        """An operation whose first operand is this value."""
        return self.writer.add(op, self, *others, detail=detail)

    def __add__(self, other: Value | float) -> Value:
        return self.apply("add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self.apply("subtract", other)

    def __mul__(self, other: Value | float) -> Value:
        return self.apply("multiply", other)

    def __truediv__(self, other: Value | float) -> Value:
        return self.apply("divide", other)

    def __rsub__(self, other: float) -> Value:
        return self.writer.add("subtract", other, self)

    def __rtruediv__(self, other: float) -> Value:
        return self.writer.add("divide", other, self)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Value:
        return self.apply("negative")

    def __abs__(self) -> Value:
        return self.apply("absolute")

    def __gt__(self, other: Value | float) -> Value:
        return self.apply("greater", other)

    def __ge__(self, other: Value | float) -> Value:
        return self.apply("greater_or_equal", other)

    def __lt__(self, other: Value | float) -> Value:
        return self.apply("less", other)

    def __le__(self, other: Value | float) -> Value:
        return self.apply("less_or_equal", other)

    def equals(self, other: Value | float) -> Value:
        """Whether the two are equal (``==`` compares places)."""
        return self.apply("equal", other)

    def where(self, yes: Value | float, no: Value | float) -> Value:
        """``yes`` where this condition holds, else ``no``."""
        return self.apply("where", yes, no)
