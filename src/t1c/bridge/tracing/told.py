"""Whom modules tell that they are called, while a model is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from torch import nn

from ..frameworks.stand_ins import standing_in

Run = Callable[..., Any]
Told = Callable[[Run, nn.Module, Any, Any], Any]
"""Given torch's own way to call a module, the module and its arguments: what the call returns."""

_told: ContextVar[Told | None] = ContextVar("told", default=None)
_ready = ContextVar("ready", default=False)


@contextmanager
def told_of_modules(told: Told | None) -> Iterator[None]:
    """Have every module that this thread calls tell somebody.

    Around several runs of a model: once for all, with None. To replace what calls modules takes
    Python through every class of them, of which the frameworks have hundreds.
    """
    run: Run = nn.Module.__call__

    def called(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        told = _told.get()
        return run(module, *args, **kwargs) if told is None else told(run, module, args, kwargs)

    with ExitStack() as stack:
        if not _ready.get():
            stack.enter_context(standing_in((nn.Module, "__call__", called)))
        stack.enter_context(_set(_ready, True))
        stack.enter_context(_set(_told, told))
        yield


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)
