"""What nodes there are, from their declarations alone: ``t1c primitives``."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from t1c import ir
from t1c.ir.errors import Problem
from t1c.ir.fields import show
from t1c.ir.guess import did_you_mean

from .report import Facts, Part, Report, Table

FIRST = "0.0.1"
"""The first version of the format."""


@dataclasses.dataclass(frozen=True)
class PrimitiveField:
    """A field of a primitive.

    Attributes:
        name: as it is passed, and stored in a file.
        holds: what it may be, in words.
        required: whether it must be given.
        default: what it is otherwise, as Python writes it; empty where it is required.
        since: the version of the format that brought it.
    """

    name: str
    holds: str
    required: bool
    default: str
    since: str


@dataclasses.dataclass(frozen=True, repr=False)
class PrimitiveInfo(Report):
    """A primitive, as it is declared.

    Attributes:
        name: under which files and graphs know it.
        since: the version of the format that brought it.
        state: the variables that it carries from step to step for each element.
        fields: in the order of declaration; those that all nodes have are left out.
        meaning: what it computes.
    """

    name: str
    since: str
    state: tuple[str, ...]
    fields: tuple[PrimitiveField, ...]
    meaning: str

    def parts(self) -> list[Part]:
        """Its meaning, its fields, its state."""
        rows = tuple(
            (f.name, f.holds, "required" if f.required else f.default, f.since) for f in self.fields
        )
        told: list[Part] = [f"{self.name}: {self.meaning.replace('``', '')}"]
        if rows:
            told.append(Table(("field", "holds", "default", "since"), rows))
        state = ", ".join(self.state) or "none"
        return [*told, Facts((("since", f"version {self.since} of the format"), ("state", state)))]


@dataclasses.dataclass(frozen=True, repr=False)
class PrimitiveList(Report):
    """All primitives, by name; ``format_version`` is the latest that this t1c writes."""

    format_version: str
    primitives: tuple[PrimitiveInfo, ...]

    def parts(self) -> list[Part]:
        """A row for each; fields that may be left out stand in brackets."""
        rows = tuple(
            (
                p.name,
                p.since,
                ", ".join(p.state),
                " ".join(f.name if f.required else f"[{f.name}]" for f in p.fields),
            )
            for p in self.primitives
        )
        return [Table(("primitive", "since", "state", "fields"), rows)]


def describe_primitives() -> PrimitiveList:
    """All registered primitives, your own included.

    Example:
        >>> [p.name for p in describe_primitives().primitives if "i" in p.state]
        ['CubaLI', 'CubaLIF']
    """
    from t1c.ir.hdf5_layout import FORMAT_VERSION

    names = sorted(ir.list_primitives(), key=str.casefold)
    return PrimitiveList(FORMAT_VERSION, tuple(map(describe_primitive, names)))


def describe_primitive(name: str) -> PrimitiveInfo:
    """One primitive, as it is declared.

    Raises:
        UnknownPrimitiveError: there is none of that name; the message lists near matches.

    Example:
        >>> describe_primitive("LIF").state
        ('v',)
    """
    try:
        primitive = ir.str_to_node(name)
    except ir.UnknownPrimitiveError:
        raise ir.UnknownPrimitiveError(
            Problem(
                f"there is no primitive {name!r}",
                "one of ir.list_primitives()",
                did_you_mean(name, ir.list_primitives(), written=str),
            )
        ) from None
    defaults = {f.name: f for f in dataclasses.fields(primitive)}
    return PrimitiveInfo(
        name=name,
        since=primitive.since or FIRST,
        state=_state(primitive),
        fields=tuple(_field(defaults[n], primitive.since) for n in primitive.kinds),
        meaning=inspect.getdoc(primitive) or "",
    )


def _field(field: dataclasses.Field[Any], since: str) -> PrimitiveField:
    kind = field.metadata["kind"]
    missing = dataclasses.MISSING
    required = field.default is missing and field.default_factory is missing
    default = field.default if field.default_factory is missing else field.default_factory()
    return PrimitiveField(
        name=field.name,
        holds=kind.describe(),
        required=required,
        default="" if required else show(default),
        since=kind.since or since or FIRST,
    )


def _state(primitive: type[ir.Node]) -> tuple[str, ...]:
    """The state variables; where they depend on the fields, what the declaration says of them."""
    names: Any = inspect.getattr_static(primitive, "state_names")
    return tuple(names) if isinstance(names, tuple) else ("as its fields say",)
