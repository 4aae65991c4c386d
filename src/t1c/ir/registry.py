"""Which primitives there are: filled by ``register_node``, asked by files and tables."""

from __future__ import annotations

import dataclasses
from typing import TypeVar, dataclass_transform

from . import fields
from .errors import Problem, UnknownPrimitiveError
from .fields import Kind, show
from .guess import did_you_mean
from .node import Node

N = TypeVar("N", bound="type[Node]")

_REGISTRY: dict[str, type[Node]] = {}


@dataclass_transform(
    field_specifiers=(
        fields.array,
        fields.integer,
        fields.real,
        fields.boolean,
        fields.choice,
        fields.text,
        fields.integers,
        dataclasses.field,
    )
)
def register_node(cls: N) -> N:
    """Class decorator: make ``cls`` a primitive that files and graphs know by its name.

    Raises:
        TypeError: a field is declared without one of the functions of ``t1c.ir.fields``, or a
            name is taken.
    """
    if not issubclass(cls, Node):
        raise TypeError(f"{cls.__name__}: derive it from t1c.ir.Node")
    taken = _REGISTRY.get(cls.__name__)
    if taken and _is_ours(taken) and not _is_ours(cls):
        raise TypeError(
            f"{cls.__name__} is a primitive of t1c, and files that hold one mean that: choose "
            "another name"
        )
    if "__dataclass_fields__" not in cls.__dict__:
        dataclasses.dataclass(eq=False, repr=False)(cls)
    common = {f.name for f in dataclasses.fields(Node)}
    kinds: dict[str, Kind] = {}
    for field in sorted(dataclasses.fields(cls), key=lambda f: bool(f.kw_only)):
        if field.name in common:
            continue
        if field.name == "type":
            raise TypeError(
                f"{cls.__name__}.type: the file keeps the primitive's name under 'type'; choose "
                "another name"
            )
        if "kind" not in field.metadata:
            raise TypeError(
                f"{cls.__name__}.{field.name}: declare it with a function of t1c.ir.fields, for "
                f"example `{field.name}: Array = array()`, so that files and checks know its kind"
            )
        kinds[field.name] = field.metadata["kind"]
    cls.kinds = kinds
    _REGISTRY[cls.__name__] = cls
    return cls


def _is_ours(cls: type[Node]) -> bool:
    return cls.__module__.startswith("t1c.ir.")


def str_to_node(name: str) -> type[Node]:
    """The primitive of that name.

    Raises:
        UnknownPrimitiveError: there is none; the message lists near matches.
    """
    try:
        return _REGISTRY[name]
    except (KeyError, TypeError):
        raise UnknownPrimitiveError(unknown_primitive(name)) from None


def unknown_primitive(name: str) -> Problem:
    """What to say of a type name that no primitive has."""
    then = "Define it with @ir.register_node, or export without it."
    return Problem(
        f"unknown primitive {show(name)}",
        "one of ir.list_primitives()",
        did_you_mean(name, _REGISTRY, then, written=str),
        field="type",
    )


def list_primitives() -> list[str]:
    """The names of all registered primitives, in the order of their definition."""
    return list(_REGISTRY)
