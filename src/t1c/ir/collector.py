"""Python's collector of garbage, kept still while much is built that stays.

The collector looks at all objects there are whenever a quarter as many came to them. Who builds a
network of ten thousand nodes, dozens of objects each, all of which stay, has it look at everything
several times over, for nothing: that took a third of the time.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class _Sites:
    """How many are building in this process, and whether the collector waits for them."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.open = 0
        self.paused = False


_sites = _Sites()


@contextmanager
def building() -> Iterator[None]:
    """Within, nothing is collected; what the collector was told to do holds again afterwards.

    For work that ends by itself and makes little garbage that refers to itself. It serves any
    number of threads, and may be used within itself: the collector goes on when the last has
    ended, if it ran before the first began.

    Example:
        >>> with building():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    sites = _sites
    with sites.lock:
        if not sites.open and gc.isenabled():
            gc.disable()
            sites.paused = True
        sites.open += 1
    try:
        yield
    finally:
        # In a process that was forked off meanwhile the collector runs already.
        if sites is _sites:
            with sites.lock:
                sites.open -= 1
                if not sites.open and sites.paused:
                    gc.enable()
                    sites.paused = False


def _forked() -> None:
    """What other threads were building is nobody's in a process that was forked off."""
    global _sites
    if _sites.paused:
        gc.enable()
    _sites = _Sites()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
