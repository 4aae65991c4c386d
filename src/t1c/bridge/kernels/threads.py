"""Compiled loops shared out among threads, as many as torch uses."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

PIECES = 4
"""Pieces of work for each thread."""
WORTH = 50_000
"""Elements that one thread works in less time than it takes to wake another."""


def share(
    kernel: Callable[..., Any], size: int, work: int, *arguments: Any, multiple: int = 1
) -> None:
    """Call ``kernel(first, last, *arguments)`` for ranges that make up ``range(size)``.

    Compiled loops let go of Python's lock, so plain threads run them side by side; unlike the
    thread pools of compilers, these may be used from several threads of the caller's at once.

    Args:
        kernel: a compiled loop over a range.
        size: the end of the whole range.
        work: elements worked in all; little work stays in the caller's thread.
        arguments: what every call is given.
        multiple: ranges begin at multiples of this.
    """
    threads = min(torch.get_num_threads(), max(1, work // WORTH), -(-size // multiple))
    if threads <= 1:
        if size:
            kernel(0, size, *arguments)
        return
    part = -(-size // (threads * PIECES))
    part += -part % multiple
    # Whoever is ready takes the next piece: threads start late, and cores are not equally free.
    starts = iter(range(0, size, part))

    def work_off() -> None:
        for first in starts:
            kernel(first, min(first + part, size), *arguments)

    waiting = [_pool().submit(work_off) for _ in range(threads - 1)]
    work_off()
    for future in waiting:
        # One that has not begun finds nothing left, and need not be waited for.
        if not future.cancel():
            future.result()


def _pool() -> ThreadPoolExecutor:
    return _pool_of(os.getpid())


@functools.cache
def _pool_of(process: int) -> ThreadPoolExecutor:
    # Threads do not survive a fork, so a child makes its own.
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="t1c")
