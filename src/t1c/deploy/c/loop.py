"""One loop over elements, in which neighbouring nodes are worked together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from t1c.ir.fields import Array
from t1c.ir.interval import Interval
from t1c.ir.shapes import Shape

from .constants import TYPES, literal
from .operations import CONDITIONS, OPERATIONS
from .stage import Stage
from .term import Operand, Term
from .whole import Whole
from .whole_operations import integer_call, integer_operation, placed

WORD = re.compile(r"\w+")


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

    def number(self, value: Any) -> Term:
        """A number that is known."""
        if self.stage.program.ranges is not None:
            whole = Whole.of(Interval.of(float(value)))
            if whole is not None:
                return Term(self, _signed(str(whole.low)), False, False, whole, float(value))
        return Term(self, _signed(literal(value, self.dtype)), value=float(value))

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
        index = self.index(values.shape, shape)
        whole = None
        if self.stage.program.ranges is not None:
            whole = Whole.of(Interval.of(values))
        if whole is not None:
            values = (values.astype(np.float64) * 2.0**whole.shift).astype(whole.dtype)
        return self.read(self.stage.constant(values, name), index, whole=whole)

    def read(
        self, array: str, index: str, spikes: bool = False, whole: Whole | None = None
    ) -> Term:
        """An element of an array, read once."""
        return self.line((array, index), f"{array}[{index}]", False, spikes, whole)

    def store(self, array: str, index: str, term: Term, dtype: np.dtype[Any] | None = None) -> None:
        """Write an element when everything was read; ``dtype``: of the array, if that is whole."""
        text = term.text
        if dtype is not None and dtype.kind == "i":
            text = f"({TYPES[dtype.name]}){text}"
        self.stores.append(f"{array}[{index}] = {text};")

    def real(self, term: Term) -> Term:
        """The same as a real number."""
        if term.whole is None or term.condition:
            return term
        if term.value is not None:
            return Term(self, _signed(literal(term.value, self.dtype)), value=term.value)
        text = f"({self.stage.real}){term.text}"
        if term.whole.shift:
            text += f" * {literal(2.0**-term.whole.shift, self.dtype)}"
        return self.line((text,), text, spikes=term.spikes)

    def formed(self, term: Term, form: Whole | None) -> Term:
        """The same as readers expect it: whole with so many places between bounds, or real."""
        if form is None:
            return self.real(term)
        if term.whole is None:
            text = f"({form.worked}){term.text}"
            if form.shift:
                text = f"({form.worked})({term.text} * {literal(2.0**form.shift, self.dtype)})"
            return self.line((text,), text, False, term.spikes, form)
        term = placed(self, term, form.shift)
        assert term.whole is not None
        whole = term.whole.within(form)
        if whole.low > whole.high:
            whole = form
        return replace(term, whole=whole)

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
        if self.stage.program.ranges is not None:
            return integer_operation(self, name, terms)
        return self.real_operation(name, terms)

    def real_operation(self, name: str, terms: Sequence[Term]) -> Term:
        """A line that works one operation on real numbers."""
        if name == "multiply":
            for one, other in (tuple(terms), tuple(terms)[::-1]):
                if one.text == literal(1, self.dtype):
                    return other  # as it is, bit for bit
        text = OPERATIONS[name].format(
            *(t.text for t in terms), zero=literal(0, self.dtype), one=literal(1, self.dtype)
        )
        spikes = name == "where" and all(t.spikes or t.text in self._bits() for t in terms[1:])
        return self.line((name, text), text, name in CONDITIONS, spikes)

    def call(self, function: str, *operands: Operand) -> Term:
        """A line that calls a function of ``functions``."""
        terms = [self.term(each) for each in operands]
        if len(terms) == 1 and terms[0].whole is not None:
            found = integer_call(self, function, terms[0])
            if found is not None:
                return found
        operands = tuple(self.real(term) for term in terms)
        called = self.stage.function(function)
        text = f"{called}({', '.join(self.term(each).text for each in operands)})"
        return self.line((text,), text)

    def function(self, name: str) -> str:
        """Note that a helper function is called."""
        return self.stage.function(name)

    def condition(self, text: str) -> Term:
        """A line that asks something of whole numbers."""
        return self.line((text,), text, condition=True)

    def once(self, text: str) -> Term:
        """A line ahead of the loop that names a number which all elements share."""
        name = f"n{len(self.before)}"
        self.before.append(f"const {self.stage.real} {name} = {text};")
        return Term(self, name)

    def _bits(self) -> tuple[str, str]:
        return literal(0, self.dtype), literal(1, self.dtype)

    def line(
        self,
        key: tuple[str, ...],
        text: str,
        condition: bool = False,
        spikes: bool = False,
        whole: Whole | None = None,
    ) -> Term:
        """Name what ``text`` comes to, unless it has a name."""
        if key not in self._known:
            name = f"{'b' if condition else 't'}{self._count}"
            self._count += 1
            kind = self.stage.real if whole is None else whole.worked
            kind = "int" if condition else kind
            self.lines.append(f"const {kind} {name} = {text};")
            self._known[key] = Term(self, name, spikes, condition, whole)
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


def _signed(text: str) -> str:
    """A literal as an operand."""
    return f"({text})" if text.startswith("-") else text


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


def summed(terms: Sequence[Term]) -> Term:
    """The sum of what several edges bring, in their order."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
