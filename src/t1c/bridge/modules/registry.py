"""Which module runs which primitive: filled by ``bridge.modules``, asked by ``from_ir``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.copy_on_write import own

Importer = Callable[[Any, torch.dtype], nn.Module]
F = TypeVar("F", bound=Importer)
M = TypeVar("M", bound=nn.Module)

_IMPORTERS: dict[type[ir.Node], Importer] = {}
NODE = "t1c_node"
"""The attribute under which a module keeps the node it came from."""
DEFAULT = "t1c_default"
"""The attribute that marks a module as the default one of its node."""


def imports(*types: type[ir.Node]) -> Callable[[F], F]:
    """Decorator: the function makes a module, in the given dtype, from a node of these types."""

    def register(function: F) -> F:
        for node_type in types:
            _IMPORTERS[node_type] = function
        return function

    return register


def importer_of(node: ir.Node) -> Importer | None:
    """The function that makes a module from ``node``, or None if its type has none."""
    for cls in type(node).__mro__:
        if cls in _IMPORTERS:
            return _IMPORTERS[cls]
    return None


def remember(module: nn.Module, node: ir.Node) -> nn.Module:
    """Let a module keep its node, with the hints and metadata that torch has no place for."""
    module.__dict__[NODE] = node
    return module


def mark_default(module: nn.Module) -> nn.Module:
    """Note that a module computes exactly what its node says: no user's map made it."""
    module.__dict__[DEFAULT] = True
    return module


def is_default(module: nn.Module) -> bool:
    """Whether the module was made by ``node_to_module`` and not by a user's map."""
    return DEFAULT in module.__dict__


def node_of(module: nn.Module) -> ir.Node | None:
    """The node that a module came from, if it was imported."""
    node = module.__dict__.get(NODE)
    return node if isinstance(node, ir.Node) else None


def tensor(array: Any, dtype: torch.dtype) -> Tensor:
    """A graph's array as a tensor of one's own, never a view that others see written to."""
    native = own(array.astype(array.dtype.newbyteorder("="), copy=False))
    if native.dtype.kind == "u" and native.dtype.itemsize > 1:
        native = native.astype(np.float64)
    return torch.from_numpy(native).to(dtype)


def unfilled(kind: type[M], *args: Any, **options: Any) -> M:
    """A module of torch's whose parameters have no numbers: all of them are about to be loaded.

    Making one takes far longer than copying one that has nothing in it yet.

    Example:
        >>> unfilled(nn.Linear, 3, 2)
        Linear(in_features=3, out_features=2, bias=True)
    """
    which: Any = kind
    blank = _blank(which, args, tuple(options.items()))
    module: M = kind.__new__(kind)
    for name, value in vars(blank).items():
        held_in = isinstance(value, dict | list | set)
        module.__dict__[name] = value.copy() if held_in else value
    return module


@functools.lru_cache(maxsize=256)
def _blank(kind: Any, args: tuple[Any, ...], options: tuple[tuple[str, Any], ...]) -> nn.Module:
    blank: nn.Module = kind(*args, **dict(options), device="meta")
    return blank


def load(module: nn.Module, name: str, array: Any) -> None:
    """Have a module hold a graph's array in the place of its parameter or buffer, if it has one."""
    trained = name in module._parameters
    own: dict[str, Any] = module._parameters if trained else module._buffers
    held = own[name]
    if held is None:
        return
    new = tensor(array, held.dtype)
    if new.shape != held.shape or not new.is_contiguous():
        new = new.expand(held.shape).contiguous()
    # Past ``nn.Module.__setattr__``, which looks for the name wherever it might be.
    own[name] = nn.Parameter(new) if trained else new
