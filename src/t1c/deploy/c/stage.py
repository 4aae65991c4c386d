"""One stage of a step while it is written: the arrays it names, its loops, what it calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.fields import Array
from t1c.ir.interval import Interval
from t1c.ir.shapes import Shape

from .constants import TYPES, Constants, literal
from .names import identifier
from .storage import Storage
from .whole import Whole


class Program(Protocol):
    """What a stage asks of the program that it belongs to."""

    dtype: np.dtype[Any]
    layout: str
    ranges: Any
    constants: Constants

    def called(self, function: str) -> str:
        """Note that a helper function is needed; its name."""
        ...

    def dense(self, weight: str, inputs: str, sums: str, spikes: bool) -> str:
        """The name of the helper that adds up rows of weights, for these types."""
        ...

    def state(
        self, name: str, variable: str, size: int, rest: Array, form: Whole | None = None
    ) -> Storage:
        """The array of a state variable of a node."""
        ...

    def counter(self, name: str, variable: str) -> Storage:
        """A state that counts, in whole numbers."""
        ...

    def state_form(self, name: str, variable: str) -> Whole | None:
        """What is known of the integers of a state variable."""
        ...

    def scratch(self, name: str, size: int, dtype: np.dtype[Any] | None = None) -> Storage:
        """An array that does not last."""
        ...

    def scratch_name(self, dtype: np.dtype[Any]) -> str:
        """What the shared array of a type is called in the state."""
        ...

    def is_whole(self, name: str) -> bool:
        """Whether a node works with integers alone."""
        ...

    def sum_dtype(self, name: str) -> np.dtype[Any]:
        """The type in which a node adds up."""
        ...


class Stage:
    """What all lines of a stage share.

    Args:
        program: it is a stage of.
        number: which.
    """

    def __init__(self, program: Program, number: int) -> None:
        self.program, self.number = program, number
        self.lines: list[str] = []
        self._pointers: dict[Storage, bool] = {}

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the arithmetic."""
        return self.program.dtype

    @property
    def real(self) -> str:
        """C's name of the type of the arithmetic."""
        return TYPES[self.dtype.name]

    def array(self, storage: Storage, written: bool = False) -> str:
        """The name by which this stage reads, or writes, an array."""
        storage.used(self.number)
        self._pointers[storage] = self._pointers.get(storage, False) or written
        return storage.name

    def constant(self, values: Array, name: str) -> str:
        """The name of a constant array."""
        return self.program.constants.array(values, name)

    def function(self, name: str) -> str:
        """Note that a helper function is called."""
        return self.program.called(name)

    def literal(self, value: object) -> str:
        """A number of the arithmetic."""
        return literal(value, self.dtype)

    def pointers(self) -> Iterator[str]:
        """The arrays, by name, where they lie."""
        for storage, written in self._pointers.items():
            if storage.place == "caller":
                continue
            kind = TYPES[storage.dtype.name]
            place = f"s->{storage.name}"
            if storage.place == "scratch":
                place = f"s->{self.program.scratch_name(storage.dtype)}"
                place += f" + {storage.offset}" if storage.offset else ""
            const = "" if written else "const "
            yield f"{const}{kind} *restrict const {storage.name} = {place};"


class Block:
    """A node with loops of its own.

    Args:
        stage: it is.
        name: of the node.
        arriving: the shapes of its inputs.
        sent: the shapes of its outputs.
        inputs: how each input is read.
        outputs: the name of the array of each output.
        spikes: whether each input holds nothing but 0 and 1.
        dtypes: the type of each input.
        to: the type of each output.

    Attributes:
        whole: it works with integers.
        moves: it sends numbers that it takes, and no others.
    """

    moves = False

    def __init__(
        self,
        stage: Stage,
        name: str,
        arriving: Sequence[Shape],
        sent: Sequence[Shape],
        inputs: Sequence[str],
        outputs: Sequence[str],
        spikes: Sequence[bool],
        dtypes: Sequence[np.dtype[Any]],
        to: Sequence[np.dtype[Any]],
    ) -> None:
        self.stage, self.name = stage, name
        self.arriving, self.sent = arriving, sent
        self.inputs, self.outputs, self.spikes = inputs, outputs, spikes
        self.dtypes, self.to = dtypes, to
        self.whole = stage.program.is_whole(name)
        self._depth = 0
        self._made = 0

    @property
    def x(self) -> str:
        """Its only input."""
        return self.inputs[0]

    @property
    def y(self) -> str:
        """Its only output."""
        return self.outputs[0]

    @property
    def number(self) -> np.dtype[Any]:
        """The type of the arithmetic."""
        return self.stage.program.sum_dtype(self.name)

    @property
    def real(self) -> str:
        """C's name of the type of the arithmetic."""
        return TYPES[self.number.name]

    def put(self, index: str, text: str, port: int = 0) -> None:
        """A line that writes an element of an output."""
        to = self.to[port]
        cast = f"({TYPES[to.name]})" if to.kind == "i" else ""
        text = f"({text})" if cast and " " in text else text
        self.line(f"{self.outputs[port]}[{index}] = {cast}{text};")

    def extreme(self, a: str, b: str, sign: str = ">") -> str:
        """The greater of two numbers, or with '<' the lesser; NaN if one of them is."""
        if self.whole or all(self.spikes):
            return f"{a} {sign} {b} ? {a} : {b}"
        return f"({a} {sign} {b} || {a} != {a}) ? {a} : {b}"

    @property
    def least(self) -> str:
        """Below all numbers, or the least of them."""
        if not self.whole:
            return "-INFINITY"
        return "INT64_MIN" if self.real == "int64_t" else "INT32_MIN"

    def line(self, text: str) -> None:
        """One more line."""
        self.stage.lines.append("    " * self._depth + text)

    @contextlib.contextmanager
    def braces(self, head: str) -> Iterator[None]:
        """What is written inside stands between braces behind ``head``."""
        self.line(f"{head} {{")
        self._depth += 1
        yield
        self._depth -= 1
        self.line("}")

    @contextlib.contextmanager
    def loops(self, **counts: int) -> Iterator[None]:
        """What is written inside is done for each value of the variables, from 0 to a count."""
        with contextlib.ExitStack() as stack:
            for variable, count in counts.items():
                head = f"for (size_t {variable} = 0; {variable} < {count}; {variable}++)"
                stack.enter_context(self.braces(head))
            yield

    def let(self, name: str, text: str) -> str:
        """Name what a number comes to."""
        self.line(f"const {self.real} {name} = {text};")
        return name

    def literal(self, value: object) -> str:
        """A number of the arithmetic."""
        return literal(value, self.number)

    def constant(self, values: Array, name: str) -> str:
        """The name of a constant array; of parameters, in the dtype of the arithmetic."""
        return self.stage.constant(values, f"{identifier(self.name)}_{name}")

    def parameter(self, values: Array, name: str) -> str:
        """The name of a constant array of a parameter, in the dtype of the arithmetic."""
        return self.constant(self.cast(values), name)

    def cast(self, values: Array) -> Array:
        """Parameters in the dtype of the arithmetic, or the least type that holds integers."""
        if not self.whole:
            return values.astype(self.stage.dtype)
        known = Whole.of(Interval.of(values))
        if known is None or known.shift:
            raise UnsupportedError(
                Problem(
                    "its weights are not whole numbers, and all else is",
                    "integers",
                    "Quantise the graph with sdk.quantize.",
                    f"node {self.name!r}",
                )
            )
        return values.astype(known.dtype)

    def dense(self, weight: Array, inputs: np.dtype[Any], spikes: bool) -> str:
        """The name of the helper that adds up rows of ``weight``."""
        kind = TYPES[self.cast(weight).dtype.name]
        return self.stage.program.dense(kind, TYPES[inputs.name], self.real, spikes)

    def function(self, name: str) -> str:
        """The name of a helper function."""
        return self.stage.function(name)

    def scratch(self, size: int) -> str:
        """The name of an array that this stage alone uses."""
        self._made += 1
        storage = self.stage.program.scratch(f"{identifier(self.name)}_part", size, self.number)
        return self.stage.array(storage, written=True)


def place(terms: Sequence[tuple[str, int]]) -> str:
    """An index: variables times their steps, added.

    Example:
        >>> place([("c", 12), ("y", 4), ("x", 1)])
        'c * 12 + y * 4 + x'
    """
    parts = [v if step == 1 else f"{v} * {step}" for v, step in terms if v != "0"]
    return " + ".join(parts) or "0"


def steps(shape: Shape) -> list[int]:
    """How far apart neighbours along each axis lie in an array of ``shape``."""
    found, step = [], 1
    for size in reversed(shape):
        found.append(step)
        step *= size
    return found[::-1]
