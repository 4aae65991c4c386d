"""The attributes of one ONNX node, of which none may be passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from t1c.ir.errors import Problem, UnsupportedError


class Attributes:
    """Gives attributes by name and knows which were asked for.

    Args:
        given: what the node states.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = dict(given)
        self._asked: set[str] = set()

    def __call__(self, name: str, default: Any = None) -> Any:
        """The value, or what ONNX says that it is where a node does not state it."""
        self._asked.add(name)
        return self._given.get(name, default)

    def ints(self, name: str, default: Any = None) -> Any:
        """A list of whole numbers as a tuple."""
        value = self(name, default)
        return value if value is None else tuple(int(n) for n in value)

    def must(self, name: str, wanted: Any, why: str) -> None:
        """Refuse every value but one, which is the default.

        Raises:
            UnsupportedError: it is another.
        """
        value = self(name, wanted)
        if value != wanted:
            raise UnsupportedError(Problem(f"{name}={value!r}: {why}", f"{name}={wanted!r}"))

    def means_nothing(self, *names: str) -> None:
        """Accept attributes that change no result when a model is run."""
        self._asked.update(names)

    def unread(self) -> Iterator[str]:
        """Those that were stated and never asked for."""
        yield from (name for name in self._given if name not in self._asked)
