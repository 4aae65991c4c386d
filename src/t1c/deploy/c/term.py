"""A number of one element, as a loop in C computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .whole import Whole

Operand = Any
"""A term, or a number that is known."""


class Writer(Protocol):
    """What terms are written into: a loop."""

    def operation(self, name: str, *operands: Operand) -> Term:
        """A line that works one operation."""
        ...

    def real_operation(self, name: str, terms: Sequence[Term]) -> Term:
        """A line that works one operation on real numbers."""
        ...

    def real(self, term: Term) -> Term:
        """The same as a real number."""
        ...

    def call(self, function: str, *operands: Operand) -> Term:
        """A line that calls a function of ``functions``."""
        ...

    def function(self, name: str) -> str:
        """Note that a helper function is called."""
        ...

    def line(
        self,
        key: tuple[str, ...],
        text: str,
        condition: bool = False,
        spikes: bool = False,
        whole: Whole | None = None,
    ) -> Term:
        """Name what ``text`` comes to, unless it has a name."""
        ...


@dataclass(frozen=True, eq=False)
class Term:
    """A name, a literal or a short expression of C that stands for one number.

    Formulas that serve NumPy arrays serve terms: each operation becomes one line of the loop, so
    that it is rounded by itself, in the order written.

    Attributes:
        loop: where the lines go.
        text: what stands for the number.
        spikes: it is 0 or 1, whatever comes.
        condition: it is the outcome of a comparison.
        whole: it is an integer, in a program of integers; None: a real number.
        value: it is this number, whatever comes.
    """

    loop: Writer = field(repr=False)
    text: str
    spikes: bool = False
    condition: bool = False
    whole: Whole | None = None
    value: float | None = None

    def __add__(self, other: Operand) -> Term:
        return self.loop.operation("add", self, other)

    def __radd__(self, other: Operand) -> Term:
        return self.loop.operation("add", other, self)

    def __sub__(self, other: Operand) -> Term:
        return self.loop.operation("subtract", self, other)

    def __rsub__(self, other: Operand) -> Term:
        return self.loop.operation("subtract", other, self)

    def __mul__(self, other: Operand) -> Term:
        return self.loop.operation("multiply", self, other)

    def __rmul__(self, other: Operand) -> Term:
        return self.loop.operation("multiply", other, self)

    def __truediv__(self, other: Operand) -> Term:
        return self.loop.operation("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Term:
        return self.loop.operation("divide", other, self)

    def __neg__(self) -> Term:
        return self.loop.operation("negative", self)

    def __gt__(self, other: Operand) -> Term:
        return self.loop.operation("greater", self, other)

    def __ge__(self, other: Operand) -> Term:
        return self.loop.operation("greater_or_equal", self, other)

    def __lt__(self, other: Operand) -> Term:
        return self.loop.operation("less", self, other)

    def equals(self, other: Operand) -> Term:
        """Whether both are the same number."""
        return self.loop.operation("equal", self, other)

    def differs(self, other: Operand) -> Term:
        """Whether they are not."""
        return self.loop.operation("unequal", self, other)

    def maximum(self, other: Operand) -> Term:
        """The greater; NaN if one is."""
        return self.loop.operation("maximum", self, other)

    def minimum(self, other: Operand) -> Term:
        """The lesser; NaN if one is."""
        return self.loop.operation("minimum", self, other)

    def where(self, yes: Operand, no: Operand) -> Term:
        """One or the other, by this condition."""
        return self.loop.operation("where", self, yes, no)

    def call(self, function: str) -> Term:
        """A function of one number, by its name in ``functions``."""
        return self.loop.call(function, self)
