"""Running a model without leaving a trace in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..frameworks import forget
from .record import version_of

_LIBRARIES = frozenset(["torch", "builtins", "numpy", "collections", "types", "enum"])


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """The model in eval mode and at rest; afterwards it is as it was.

    Parameters, buffers, hidden states, attributes and the training mode of every module come back,
    whatever the run did to them.
    """
    kept: list[tuple[Any, dict[str, Any]]] = []
    values: list[tuple[Tensor, Tensor, int]] = []
    for module in model.modules():
        attributes = {k: _shallow(v) for k, v in module.__dict__.items()}
        kept.append((module, attributes))
        kept += [
            (thing, {k: _shallow(v) for k, v in vars(thing).items()})
            for value in module.__dict__.values()
            for thing in _things(value)
        ]
        values += [(b, b.detach().clone(), version_of(b)) for b in module.buffers(recurse=False)]
    try:
        model.eval()
        for module in model.modules():
            forget(module)
        yield
    finally:
        for buffer, value, version in values:
            if version_of(buffer) != version:
                buffer.detach().copy_(value)
        for module, attributes in kept:
            module.__dict__.clear()
            module.__dict__.update(attributes)


def _things(value: Any) -> Iterator[Any]:
    """Objects of the user's own classes in which a module may keep something."""
    if isinstance(value, dict):
        for part in value.values():
            yield from _things(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _things(part)
    elif _is_users(value):
        yield value


def _is_users(value: Any) -> bool:
    """Whether a value is an object of a class of the user's, which is no function."""
    if isinstance(value, nn.Module | Tensor | type) or callable(value):
        return False
    foreign = type(value).__module__.split(".")[0] in _LIBRARIES
    return hasattr(value, "__dict__") and not foreign


def _shallow(value: Any) -> Any:
    """A copy of what a run may put things into."""
    if type(value) in (list, set):
        return type(value)(_shallow(v) for v in value)
    if type(value) is deque:
        return deque((_shallow(v) for v in value), value.maxlen)
    if isinstance(value, dict):
        copied = value.copy()
        for key, part in value.items():
            if type(part) in (list, set, dict, deque):
                copied[key] = _shallow(part)
        return copied
    return value
