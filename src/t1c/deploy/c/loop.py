"""One loop over elements, in which neighbouring nodes are worked together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from t1c.ir.fields import Array
from t1c.ir.shapes import Shape

from .constants import literal
from .operations import CONDITIONS, OPERATIONS
from .term import Operand, Term

if TYPE_CHECKING:
    from .stage import Stage


class Loop:
    """The body of a loop, line by line.

    Args:
        stage: gives names of arrays and notes which functions are called.
        size: how many elements are worked.

    Attributes:
        inner: the loop is two, over channels and ``inner`` elements of each; None: one.
        lines: of the body.
        stores: lines at its end, when all that is read was read.
        before: lines ahead of the loop.
        after: lines behind it.
    """

    def __init__(self, stage: Stage, size: int) -> None:
        self.stage, self.size = stage, size
        self.inner: int | None = None
        self.lines: list[str] = []
        self.stores: list[str] = []
        self.before: list[str] = []
        self.after: list[str] = []
        self._known: dict[tuple[str, ...], Term] = {}
        self._count = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the arithmetic."""
        return self.stage.dtype

    # Numbers ----------------------------------------------------------------------------------

    def number(self, value: object) -> Term:
        """A number that is known."""
        text = literal(value, self.dtype)
        return Term(self, f"({text})" if text.startswith("-") else text)

    def term(self, operand: Operand) -> Term:
        """A term, whatever is given."""
        return operand if isinstance(operand, Term) else self.number(operand)

    def laid(self, values: Array, shape: Shape, name: str) -> Term:
        """A parameter that lies over features of ``shape``: one number, or one read from an array.

        Args:
            values: in the dtype of the arithmetic, of a shape that broadcasts to ``shape``.
            shape: of the features.
            name: what the array may be called.
        """
        if values.size and (values == values.flat[0]).all() and not np.signbit(values).any():
            return self.number(values.flat[0])
        if values.size == 1:
            return self.number(values.flat[0])
        array = self.stage.constant(values, name)
        return self.read(array, self.index(values.shape, shape))

    def read(self, array: str, index: str, spikes: bool = False) -> Term:
        """An element of an array, read once."""
        return self._line((array, index), f"{array}[{index}]", spikes=spikes)

    def store(self, array: str, index: str, term: Term) -> None:
        """Write an element when everything was read."""
        self.stores.append(f"{array}[{index}] = {term.text};")

    # Where the elements lie -------------------------------------------------------------------

    def index(self, shape: Shape, features: Shape) -> str:
        """Where the present element of ``features`` lies in an array that broadcasts to them."""
        if math.prod(shape) == math.prod(features):
            return "i"
        if math.prod(shape) == 1:
            return "0"
        if math.prod(shape[1:]) == 1:
            return self.channel(math.prod(features[1:]))
        parts, step = [], 1
        for axis in reversed(range(len(shape))):
            if shape[axis] > 1:
                below = math.prod(features[axis + 1 :])
                part = "i" if below == 1 else f"i / {below}"
                part = part if axis == 0 else f"{part} % {features[axis]}"
                parts.append(f"({part}) * {step}" if step > 1 else part)
            step *= shape[axis]
        return " + ".join(reversed(parts))

    def channel(self, inner: int) -> str:
        """The channel of the present element, where each has ``inner``."""
        if inner == 1:
            return "i"
        self.inner = self.inner or inner
        return "c" if self.inner == inner else f"i / {inner}"

    def channels_last(self, channels: int, inner: int) -> str:
        """Where the present element lies in an array that has its channels last."""
        if channels == 1 or inner == 1:
            return "i"
        c = self.channel(inner)
        return f"j * {channels} + c" if c == "c" else f"i % {inner} * {channels} + {c}"

    # Arithmetic -------------------------------------------------------------------------------

    def operation(self, name: str, *operands: Operand) -> Term:
        """A line that works one operation."""
        terms = [self.term(each) for each in operands]
        if name == "multiply":
            for one, other in (terms, terms[::-1]):
                if one.text == literal(1, self.dtype):
                    return other  # as it is, bit for bit
        text = OPERATIONS[name].format(
            *(t.text for t in terms), zero=literal(0, self.dtype), one=literal(1, self.dtype)
        )
        spikes = name == "where" and all(t.spikes or t.text in self._bits() for t in terms[1:])
        return self._line((name, text), text, name in CONDITIONS, spikes)

    def call(self, function: str, *operands: Operand) -> Term:
        """A line that calls a function of ``functions``."""
        called = self.stage.function(function)
        text = f"{called}({', '.join(self.term(each).text for each in operands)})"
        return self._line((text,), text)

    def condition(self, text: str) -> Term:
        """A line that asks something of whole numbers."""
        return self._line((text,), text, condition=True)

    def once(self, text: str) -> Term:
        """A line ahead of the loop that names a number which all elements share."""
        name = f"n{len(self.before)}"
        self.before.append(f"const {self.stage.real} {name} = {text};")
        return Term(self, name)

    def _bits(self) -> tuple[str, str]:
        return literal(0, self.dtype), literal(1, self.dtype)

    def _line(
        self, key: tuple[str, ...], text: str, condition: bool = False, spikes: bool = False
    ) -> Term:
        """Name what ``text`` comes to, unless it has a name."""
        if key not in self._known:
            name = f"{'b' if condition else 't'}{self._count}"
            self._count += 1
            kind = "int" if condition else self.stage.real
            self.lines.append(f"const {kind} {name} = {text};")
            self._known[key] = Term(self, name, spikes, condition)
        return self._known[key]

    # The whole --------------------------------------------------------------------------------

    def rendered(self) -> list[str]:
        """All lines of the loop."""
        body = _needed(self.lines, self.stores)
        if self.inner is None:
            head = [f"for (size_t i = 0; i < {self.size}; i++) {{"]
            tail = ["}"]
            depth = 1
        else:
            head = [
                f"for (size_t c = 0; c < {self.size // self.inner}; c++) {{",
                f"    for (size_t j = 0; j < {self.inner}; j++) {{",
            ]
            if any(_mentions(line, "i") for line in body):
                head.append(f"        const size_t i = c * {self.inner} + j;")
            tail = ["    }", "}"]
            depth = 2
        return [*self.before, *head, *(f"{'    ' * depth}{line}" for line in body), *tail,
                *self.after]  # fmt: skip


def _mentions(line: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", line) is not None


def _needed(lines: Sequence[str], stores: Sequence[str]) -> list[str]:
    """The lines without those that name what nothing uses."""
    kept, used = list(stores), set(WORD.findall(" ".join(stores)))
    for line in reversed(lines):
        name, _, text = line.partition(" = ")
        if name.rpartition(" ")[2] in used:
            kept.insert(0, line)
            used.update(WORD.findall(text))
    return kept


WORD = re.compile(r"\w+")


def summed(terms: Sequence[Term]) -> Term:
    """The sum of what several edges bring, in their order."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
