"""A primitive that this version does not know, carried from one file to the next as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .errors import Problem, UnsupportedError
from .fields import Array
from .node import Node
from .shapes import Shape
from .values import same_value, what_differs


class Unknown(Node):
    """What a file holds of a node whose primitive is not known: ``ir.read(path, unknown='keep')``.

    It can be written again, under the same name and with the same data, and compared. What it
    computes is not known, nor what shape it sends: a graph that holds one cannot run.

    Attributes:
        type_name: the primitive, and its version if the file says one, such as ``'Wave@9.0.0'``.
        stored: all that the file holds of it but its type: numbers, arrays, text, dicts of these.
        since: the format version of the file.
    """

    opaque: ClassVar[bool] = True
    # Whatever it may be, graphs that hold it are not refused for its sake.
    breaks_cycles: ClassVar[bool] = True
    runs_alone: ClassVar[bool] = True

    def __init__(self, type_name: str, stored: Mapping[str, Any], since: str) -> None:
        self.type_name = type_name
        self.stored = dict(stored)
        self.since = since  # type: ignore[misc]
        super().__init__()

    @property
    def primitive(self) -> str:
        """The type name, with its version."""
        return self.type_name

    def shapes(self, arriving: Sequence[Shape]) -> tuple[Shape | None, tuple[Shape, ...]]:
        """None is known."""
        return None, ()

    def values(self) -> dict[str, Any]:
        """What the file holds."""
        return dict(self.stored)

    def parameters(self) -> dict[str, Array]:
        """The arrays of numbers in it."""
        found = {k: v for k, v in self.stored.items() if isinstance(v, np.ndarray)}
        return {k: v for k, v in found.items() if v.dtype.kind in "biuf"}

    def difference(self, other: Node) -> list[str]:
        """What differs, where both are of one primitive that is not known."""
        if not isinstance(other, Unknown) or self.type_name != other.type_name:
            return super().difference(other)
        found = []
        for name in dict.fromkeys([*self.stored, *other.stored]):
            if name not in self.stored or name not in other.stored:
                side = "first" if name in self.stored else "second"
                found.append(f"{name}: only in the {side}")
            elif not same_value(self.stored[name], other.stored[name]):
                found.append(f"{name}: {what_differs(self.stored[name], other.stored[name])}")
        return found

    def replace(self, **changes: Any) -> Any:
        """Refused: what a change would mean is not known.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(cannot(self, "changed"))


def cannot(node: Unknown, what: str) -> Problem:
    """The problem that a node of an unknown primitive cannot be ``what``."""
    return Problem(
        f"{node.type_name} is not known to this t1c: it can be carried to another file, not {what}",
        remedy="Install a later t1c, or register the primitive with @ir.register_node.",
    )


def refuse_unknown(nodes: Iterable[tuple[str, Node]]) -> None:
    """Refuse to run what holds nodes of unknown primitives.

    Raises:
        UnsupportedError: naming each of them.
    """
    found = [(name, node) for name, node in nodes if isinstance(node, Unknown)]
    if found:
        raise UnsupportedError([cannot(node, "run").at(f"node {name!r}") for name, node in found])
