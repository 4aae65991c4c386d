"""Every error that the representation raises, and what each one says.

An error names where it happened, what was found, what was expected and what to do. One error may
hold several :class:`Problem` s: a graph or a file reports all that is wrong with it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in the words of the person who has to mend it.

    Attributes:
        found: what is there.
        expected: what should be there.
        remedy: what to do about it, one sentence.
        where: the place, such as ``node 'fc1'`` or ``edge 'a' -> 'b'``.
        field: the field of the node, if one is at fault.
    """

    found: str
    expected: str = ""
    remedy: str = ""
    where: str = ""
    field: str = ""

    def at(self, where: str) -> Problem:
        """The same problem, placed inside ``where``."""
        return replace(self, where=f"{where} > {self.where}" if self.where else where)

    def __str__(self) -> str:
        place = ", ".join(p for p in (self.where, self.field and f"field '{self.field}'") if p)
        text = f"{place}: {self.found}" if place else self.found
        if self.expected:
            text += f"; expected {self.expected}"
        return f"{text}. {self.remedy}".rstrip() if self.remedy else text


class T1CError(Exception):
    """Base of all errors of t1c. ``problems`` holds everything that was found."""

    def __init__(self, problems: str | Problem | Sequence[Problem], heading: str = "") -> None:
        """Take one message, one problem or several, and an optional heading for several."""
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.heading = heading
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            text = str(self.problems[0])
            return f"{self.heading}: {text}" if self.heading else text
        heading = f"{self.heading}: " if self.heading else ""
        listed = "\n".join(f"  {i}. {p}" for i, p in enumerate(self.problems, 1))
        return f"{heading}{len(self.problems)} problems:\n{listed}"

    def __reduce__(self) -> tuple[type[T1CError], tuple[tuple[Problem, ...], str]]:
        return type(self), (self.problems, self.heading)


class NodeError(T1CError, ValueError):
    """A node's field is missing, of the wrong kind, or out of range."""


class GraphError(T1CError, ValueError):
    """The nodes and edges of a graph do not fit together."""


class ShapeError(GraphError):
    """What arrives at a node has a shape that the node cannot take."""


class T1CFormatError(T1CError, ValueError):
    """A file is not a ``.t1c`` file, is damaged, or says something that has no meaning."""


class VersionError(T1CFormatError):
    """A file was written by a later version of the format than this package reads."""


class UnknownPrimitiveError(T1CFormatError):
    """A type name that no registered primitive has."""


class WriteError(T1CError, OSError):
    """A file cannot be written: where, why, and what to do.

    ``errno`` is the system's number, as of any OSError.
    """

    def __init__(
        self, problems: str | Problem | Sequence[Problem], heading: str = "", *, number: int = 0
    ) -> None:
        """Take what any T1CError takes, and the system's number."""
        super().__init__(problems, heading)
        self.errno = number or None

    def __reduce__(self) -> Any:
        return (*super().__reduce__(), {"errno": self.errno})


class InputError(T1CError, ValueError):
    """A tensor, array or state handed in at run time has the wrong shape, dtype or name."""


class UnsupportedError(T1CError, NotImplementedError):
    """The graph is valid, but what was asked for cannot be done with it exactly."""


class GraphWarning(UserWarning):
    """A graph is valid, but a part of it has no effect."""
