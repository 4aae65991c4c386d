"""Functions of other libraries that something stands in for while a model is followed.

They can only be replaced for the whole process. So every other thread goes on as it did, and a
second export waits for its turn: two that each put back what they found would leave one behind.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

StandIn = tuple[Any, str, Callable[..., Any]]
"""Where a function is, its name there, and what stands in for it."""

_turn = threading.RLock()


@contextmanager
def standing_in(*stand_ins: StandIn) -> Iterator[None]:
    """Have functions replaced for this thread."""
    with _turn:
        thread = threading.get_ident()
        kept = [getattr(place, name) for place, name, _ in stand_ins]
        for (place, name, stand_in), own in zip(stand_ins, kept, strict=True):
            setattr(place, name, _for_one_thread(thread, stand_in, own))
        try:
            yield
        finally:
            for (place, name, _), own in zip(stand_ins, kept, strict=True):
                setattr(place, name, own)


def _for_one_thread(
    thread: int, stand_in: Callable[..., Any], own: Callable[..., Any]
) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        return (stand_in if threading.get_ident() == thread else own)(*args, **kwargs)

    return called


def _start_anew() -> None:
    """Nobody in a forked process will ever end the turn of a thread that it does not have."""
    global _turn
    _turn = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
