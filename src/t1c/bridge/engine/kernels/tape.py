"""Whether a pass keeps what its way back needs, or is worked anew for that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_keeps = ContextVar("t1c_keeps", default=True)


def keeps() -> bool:
    """Whether what is noted for the way back will be looked at."""
    return _keeps.get()


@contextmanager
def keeping_nothing() -> Iterator[None]:
    """Work that will be worked anew: who saves tensors need not fill them, nor pack them."""
    token = _keeps.set(False)
    try:
        yield
    finally:
        _keeps.reset(token)
