"""The user's own choice of module for a node."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from t1c import ir
from t1c.ir.errors import NodeError, Problem

Maker = Callable[[Any], nn.Module | None]
NodeMap = Maker | Mapping[type[Any], Maker]


def module_from_map(node_map: NodeMap | None, node: ir.Node, name: str) -> nn.Module | None:
    """What the user's map makes of ``node``; None where it leaves the choice to the default.

    Raises:
        NodeError: the map returns something that is not a module, or has a key that is not a
            node type.
    """
    if node_map is None:
        return None
    if isinstance(node_map, Mapping):
        keys: Iterable[Any] = node_map
        for key in keys:
            if not (isinstance(key, type) and issubclass(key, ir.Node)):
                remedy = "Write {ir.LIF: function}."
                raise NodeError(Problem(f"node_map has the key {key!r}", "a node type", remedy))
        maker = next((node_map[cls] for cls in type(node).__mro__ if cls in node_map), None)
    else:
        maker = node_map if isinstance(node, _types_of(node_map)) else None
    if maker is None:
        return None
    module = maker(node)
    if module is None or isinstance(module, nn.Module):
        return module
    raise NodeError(
        Problem(
            f"node_map returned a {type(module).__name__}",
            "a torch.nn.Module, or None for the default",
            where=f"node {name!r} ({node.primitive})",
        )
    )


def _types_of(maker: Maker) -> tuple[type, ...]:
    """The node types that a callable's first argument is annotated with; all if it is not."""
    annotation = _annotation(maker)
    options = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else (annotation,)
    )
    nodes = tuple(o for o in options if isinstance(o, type) and issubclass(o, ir.Node))
    return nodes or (ir.Node,)


def _annotation(maker: Maker) -> Any:
    try:
        first = next(iter(inspect.signature(maker).parameters.values()), None)
    except (TypeError, ValueError):
        return None
    if first is None or first.annotation is inspect.Parameter.empty:
        return None
    if not isinstance(first.annotation, str):
        return first.annotation
    function = inspect.unwrap(maker)
    scope = {**getattr(function, "__globals__", {}), "ir": ir}
    try:
        return eval(first.annotation, scope, vars(ir))
    except Exception as cause:
        raise NodeError(
            Problem(
                f"node_map's annotation {first.annotation!r} cannot be resolved ({cause})",
                "a node type such as ir.LIF",
                "Pass a dict {ir.LIF: function} instead.",
            )
        ) from None
