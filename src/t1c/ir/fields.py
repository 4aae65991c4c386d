"""The kinds of field that a primitive can have, and how a value becomes one.

A primitive declares its fields with the functions at the end of this file; constructor checks,
the file, equality and every listing follow from the declaration::

    @register_node
    class Affine(Node):
        weight: Array = array(ndim=2)
        bias: Array = array(ndim=1)

``Kind.convert`` turns what a user passes into the one form that is stored; ``Kind.from_text`` reads
the strings that early writers left in files where numbers and booleans belong.
"""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import NodeError, Problem

Array = npt.NDArray[Any]
Pair = tuple[int, int]
Triple = tuple[int, int, int]


LONGEST_NUMBER = 1000
"""No number or shape that was written as text has more letters; Python's parser, which reads them,
takes a hundred times as much memory as its text."""


def show(value: object) -> str:
    """A value as an error message shows it: short, and arrays by shape and dtype."""
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def storable(text: str) -> bool:
    """Whether a file can hold the text: it is UTF-8, and has no NUL."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _bad(value: object, expected: str, remedy: str = "") -> NodeError:
    return NodeError(Problem(show(value), expected, remedy))


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a field may hold.

    Attributes:
        optional: None is allowed, and absent from the file.
        since: the format version that brought the field, if later than the first; a value other
            than the default makes the node unreadable for earlier readers (see ``ir.hdf5``).
    """

    optional: bool = False
    since: str = ""

    def since_of(self, value: Any) -> str:
        """The format version that brought ``value``; ``since`` if it came with the field."""
        return self.since

    def convert(self, value: Any) -> Any:
        """The stored form of ``value``; NodeError if there is none."""
        if value is None and self.optional:
            return None
        return self._convert(value)

    def from_text(self, text: str) -> Any:
        """The value that an early writer meant by a string; NodeError if it cannot be one."""
        if len(text) > LONGEST_NUMBER:
            raise _bad(text, self.describe())
        try:
            return self.convert(ast.literal_eval(text))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise _bad(text, self.describe()) from None

    def describe(self) -> str:
        """The kind in words, for error messages and tables."""
        raise NotImplementedError

    def _convert(self, value: Any) -> Any:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class ArrayKind(Kind):
    """A numeric array; its dtype and shape stay what they were.

    ``ndim`` fixes the number of dimensions, unless None.
    """

    ndim: int | None = None

    def _convert(self, value: Any) -> Array:
        if isinstance(value, str | bytes | Mapping) or value is None:
            raise _bad(value, self.describe(), "Pass the numbers, not text that describes them.")
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as cause:
            raise _bad(
                value, self.describe(), f"NumPy cannot take it ({cause}); pass a NumPy array."
            ) from cause
        if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
            raise _bad(value, self.describe(), "Convert it to float32 or float64 first.")
        if self.ndim is not None and array.ndim != self.ndim:
            raise _bad(array, self.describe())
        if 0 in array.shape:
            raise _bad(array, "an array with at least one element")
        return array

    def from_text(self, text: str) -> Array:
        raise _bad(text, self.describe(), "The file holds text where numbers belong; export again.")

    def describe(self) -> str:
        return "a numeric array" + ("" if self.ndim is None else f" of {self.ndim} dimensions")


@dataclasses.dataclass(frozen=True)
class IntKind(Kind):
    """An integer from ``low`` to ``high``, either of which may be absent.

    ``words`` are strings allowed in its place ('same', 'valid').
    """

    low: int | None = None
    high: int | None = None
    words: tuple[str, ...] = ()

    def _convert(self, value: Any) -> int | str:
        if isinstance(value, str) and value in self.words:
            return value
        number = _as_int(value)
        if number is None or not _within(number, self.low, self.high):
            raise _bad(value, self.describe())
        return number

    def from_text(self, text: str) -> Any:
        return text if text in self.words else super().from_text(text)

    def describe(self) -> str:
        words = "".join(f", or {word!r}" for word in self.words)
        return "an integer" + _range(self.low, self.high) + words


@dataclasses.dataclass(frozen=True)
class FloatKind(Kind):
    """A finite real number from ``low`` to ``high``, either of which may be absent."""

    low: float | None = None
    high: float | None = None

    def _convert(self, value: Any) -> float:
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(()).item()
        if isinstance(value, bool | np.bool_) or not isinstance(
            value, int | float | np.integer | np.floating
        ):
            raise _bad(value, self.describe())
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not np.isfinite(number) or not _within(number, self.low, self.high):
            raise _bad(value, self.describe())
        return number

    def describe(self) -> str:
        return "a number" + _range(self.low, self.high)


@dataclasses.dataclass(frozen=True)
class BoolKind(Kind):
    """True or False, and nothing that merely counts as such."""

    def _convert(self, value: Any) -> bool:
        if isinstance(value, np.ndarray) and value.shape == ():
            value = value[()]
        if not isinstance(value, bool | np.bool_):
            raise _bad(value, self.describe())
        return bool(value)

    def describe(self) -> str:
        return "True or False"


@dataclasses.dataclass(frozen=True)
class ChoiceKind(Kind):
    """One of a few words, stored as plain text.

    ``aliases`` are older names for them; ``later`` says of words that came after the field which
    format version brought them.
    """

    words: tuple[str, ...] = ()
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    later: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def since_of(self, value: Any) -> str:
        """That of the word."""
        return self.later.get(value, self.since)

    def _convert(self, value: Any) -> str:
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, str):
            value = self.aliases.get(value, str(value))
            if value in self.words:
                return str(value)
        raise _bad(value, self.describe())

    def from_text(self, text: str) -> Any:
        return self.convert(text)

    def describe(self) -> str:
        return "one of " + ", ".join(repr(str(word)) for word in self.words)


@dataclasses.dataclass(frozen=True)
class TextKind(Kind):
    """Any text that a file can hold."""

    def _convert(self, value: Any) -> str:
        if not isinstance(value, str) or not storable(value):
            raise _bad(value, self.describe())
        return str.__str__(value)

    def from_text(self, text: str) -> Any:
        return self.convert(text)

    def describe(self) -> str:
        return "text that UTF-8 can hold, without NUL"


@dataclasses.dataclass(frozen=True)
class IntsKind(Kind):
    """A tuple of integers from ``low`` to ``high``, either of which may be absent.

    ``length`` fixes how many; a single integer is then repeated. ``words`` are strings allowed in
    its place ('same', 'valid').
    """

    length: int | None = None
    low: int | None = 0
    high: int | None = None
    words: tuple[str, ...] = ()

    def _convert(self, value: Any) -> tuple[int, ...] | str:
        if isinstance(value, str):
            if value in self.words:
                return value
            raise _bad(value, self.describe())
        single = _as_int(value)
        if single is not None:
            value = (single,) * (self.length or 1)
        elif isinstance(value, np.ndarray) and value.ndim == 1:
            value = value.tolist()
        if not isinstance(value, tuple | list):
            raise _bad(value, self.describe())
        numbers = tuple(_as_int(v) for v in value)
        if len(numbers) == 1 and self.length:
            numbers *= self.length
        if not numbers or (self.length and len(numbers) != self.length):
            raise _bad(value, self.describe())
        if any(n is None or not _within(n, self.low, self.high) for n in numbers):
            raise _bad(value, self.describe())
        return tuple(n for n in numbers if n is not None)

    def from_text(self, text: str) -> Any:
        return self.convert(text) if text in self.words else super().from_text(text)

    def describe(self) -> str:
        what = f"{self.length} integers (or one for all)" if self.length else "a tuple of integers"
        words = "".join(f", or {word!r}" for word in self.words)
        return f"{what}{_range(self.low, self.high)}{words}"


def _as_int(value: Any) -> int | None:
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        return None
    number = int(value)
    # A file holds 64 bits.
    return number if -(2**63) <= number < 2**63 else None


def _within(number: float, low: float | None, high: float | None) -> bool:
    return (low is None or number >= low) and (high is None or number <= high)


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return "" if high is None else f" of at most {high}"


# What follows is what primitives are written with. `default` absent means required.


def _field(kind: Kind, default: Any) -> Any:
    return dataclasses.field(default=default, metadata={"kind": kind})


def array(*, ndim: int | None = None, default: Any = dataclasses.MISSING, since: str = "") -> Any:
    """A numeric array; with ``default=None`` it may be absent."""
    return _field(ArrayKind(optional=default is None, since=since, ndim=ndim), default)


def integer(
    *,
    low: int | None = None,
    high: int | None = None,
    words: tuple[str, ...] = (),
    default: Any = dataclasses.MISSING,
    since: str = "",
) -> Any:
    """An integer within a range, or one of a few words."""
    kind = IntKind(optional=default is None, since=since, low=low, high=high, words=words)
    return _field(kind, default)


def real(
    *,
    low: float | None = None,
    high: float | None = None,
    default: Any = dataclasses.MISSING,
    since: str = "",
) -> Any:
    """A finite number within a range."""
    return _field(FloatKind(optional=default is None, since=since, low=low, high=high), default)


def boolean(*, default: Any = dataclasses.MISSING, since: str = "") -> Any:
    """True or False."""
    return _field(BoolKind(optional=default is None, since=since), default)


def choice(
    *words: str,
    default: Any = dataclasses.MISSING,
    aliases: Mapping[str, str] | None = None,
    since: str = "",
    later: Mapping[str, str] | None = None,
) -> Any:
    """One of a few words; ``later`` are those that came after the field, with their versions."""
    kind = ChoiceKind(
        optional=default is None,
        since=since,
        words=words,
        aliases=aliases or {},
        later=later or {},
    )
    return _field(kind, default)


def text(*, default: Any = dataclasses.MISSING, since: str = "") -> Any:
    """Any text."""
    return _field(TextKind(optional=default is None, since=since), default)


def integers(
    *,
    length: int | None = None,
    low: int | None = 0,
    high: int | None = None,
    words: tuple[str, ...] = (),
    default: Any = dataclasses.MISSING,
    since: str = "",
) -> Any:
    """A tuple of integers; one integer stands for ``length`` equal ones."""
    kind = IntsKind(
        optional=default is None, since=since, length=length, low=low, high=high, words=words
    )
    return _field(kind, default)
