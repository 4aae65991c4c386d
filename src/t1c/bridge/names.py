"""Node names as attribute names of a module."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def sanitize_module_name(name: str) -> str:
    """A node's name as PyTorch can register it: dots and slashes become underscores.

    Example:
        >>> sanitize_module_name("layer.1")
        'layer_1'
    """
    return name.replace(".", "_").replace("/", "_") or "_"


def _has(owner: nn.Module, attribute: str) -> bool:
    """What ``hasattr`` says, without the error that a module makes for what it has not."""
    own = (vars(owner), owner._parameters, owner._buffers, owner._modules)
    return any(attribute in names for names in (*own, *map(vars, type(owner).__mro__)))


def module_names(names: Iterable[str], owner: nn.Module) -> dict[str, str]:
    """Node name -> attribute name, all different.

    A name that needs no change keeps itself; one that would meet another (``a.b`` beside ``a_b``)
    or an attribute of ``owner`` (``forward``) gets underscores behind it.
    """
    names = list(names)
    given: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names, key=lambda n: sanitize_module_name(n) != n):
        attribute = sanitize_module_name(name)
        while attribute in taken or _has(owner, attribute):
            attribute += "_"
        taken.add(attribute)
        given[name] = attribute
    return {name: given[name] for name in names}
