"""How each primitive is written in C: one function for each, found by the type of the node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from t1c import ir
from t1c.ir.shapes import Shape

if TYPE_CHECKING:
    from .element import Element
    from .stage import Block
    from .term import Term

ElementWriter = Callable[["Element", Any, Sequence["Term"]], "Term"]
"""(where it stands, node, what its edges bring) -> what it sends, of one element."""
BlockWriter = Callable[["Block", Any], None]
"""(where it stands, node): writes loops that read arrays and fill others."""
F = TypeVar("F", bound=Callable[..., Any])

_elements: dict[type[ir.Node], ElementWriter] = {}
_blocks: dict[type[ir.Node], BlockWriter] = {}
_blocks_when: dict[type[ir.Node], Callable[[Any], bool]] = {}
_channels_last: dict[type[ir.Node], Callable[[Any, Shape], bool]] = {}


def element_by_element(*types: type[ir.Node]) -> Callable[[F], F]:
    """Decorator of the writer of nodes that work on each element by itself."""

    def register(function: F) -> F:
        _elements.update(dict.fromkeys(types, function))
        return function

    return register


def with_loops(
    *types: type[ir.Node],
    channels_last: Callable[[Any, Shape], bool] | None = None,
    when: Callable[[Any], bool] | None = None,
) -> Callable[[F], F]:
    """Decorator of the writer of nodes that have loops of their own.

    Args:
        types: the primitives.
        channels_last: (node, shape that arrives) -> whether the array that it fills has its
            channels last.
        when: node -> whether it is one of these; else it works on each element by itself.
    """

    def register(function: F) -> F:
        _blocks.update(dict.fromkeys(types, function))
        if when is not None:
            _blocks_when.update(dict.fromkeys(types, when))
        if channels_last is not None:
            _channels_last.update(dict.fromkeys(types, channels_last))
        return function

    return register


def is_block(node: ir.Node) -> bool:
    """Whether a node has loops of its own."""
    when = _blocks_when.get(type(node))
    return type(node) in _blocks and (when is None or when(node))


def has_writer(node: ir.Node) -> bool:
    """Whether a node can be said in C."""
    return type(node) in _blocks or type(node) in _elements


def sends_channels_last(node: ir.Node, shape: Shape) -> bool:
    """Whether the array that it fills, given what arrives, has its channels last."""
    last = _channels_last.get(type(node))
    return last is not None and last(node, shape)


def element_writer(node: ir.Node) -> ElementWriter:
    """How a node that works on each element is written."""
    return _elements[type(node)]


def block_writer(node: ir.Node) -> BlockWriter:
    """How a node with loops of its own is written."""
    return _blocks[type(node)]
