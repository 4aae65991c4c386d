"""Compiled loops shared out among threads, as many as torch uses, and the same ones.

After its own work a thread of torch's waits for more without sleeping, for some milliseconds. Other
threads would have to share the processor with it, and would be woken late. See ``waiting``.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from .waiting import Waiting

PIECES = 4
"""Pieces of work for each thread."""
WORTH = 50_000
"""Elements that one thread works in less time than it takes to wake another."""
_HOME = os.getpid()
"""Where OpenMP's threads are: it hangs in a fork of a process that used them.

As torch itself does. A fork that imports t1c first is not told from others: it should, as the
workers of a loader do, set torch's threads to one.
"""


def share(
    kernel: Callable[..., Any], size: int, work: int, *arguments: Any, multiple: int = 1
) -> None:
    """Call ``kernel(first, last, *arguments)`` for ranges that make up ``range(size)``.

    Args:
        kernel: a compiled loop over a range, which lets go of Python's lock.
        size: the end of the whole range.
        work: elements worked in all; little work stays in the caller's thread.
        arguments: what every call is given.
        multiple: ranges begin at multiples of this.
    """
    threads = count_of(-(-size // multiple), work)
    if os.getpid() == _HOME:
        _waiting().look()
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

    if os.getpid() == _HOME and _openmp() is not None:
        _by_openmp(work_off, threads)
    else:
        _by_pool(work_off, threads)


def count_of(size: int, work: int) -> int:
    """How many threads are worth while for so many pieces and elements of work."""
    return max(1, min(torch.get_num_threads(), work // WORTH, size))


def by_address(loop: int, table: int, threads: int) -> None:
    """Call a compiled loop in some of torch's threads, none of which needs Python's lock.

    Args:
        loop: the address of a function of one address.
        table: what it is given.
        threads: how many call it, the caller's among them.
    """
    if os.getpid() == _HOME:
        _waiting().look()
    if threads > 1 and os.getpid() == _HOME and _openmp() is not None:
        region = _region_by_address()
        assert region is not None
        region(loop, table, threads, 0)
        return
    call = _callable(loop)
    if threads > 1:
        _by_pool(lambda: call(table), threads)
    else:
        call(table)


@functools.cache
def _callable(loop: int) -> Callable[[int], None]:
    call: Callable[[int], None] = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(loop)
    return call


Task = Callable[[], None]


def _by_openmp(task: Task, threads: int) -> None:
    """Run ``task`` in each of some of torch's threads, of which the caller's is one."""
    failed: list[BaseException] = []

    def guarded(_: object) -> None:
        try:
            task()
        except BaseException as error:
            failed.append(error)

    region = _openmp()
    assert region is not None
    region(_BODY(guarded), None, threads, 0)
    if failed:
        raise failed[0]


_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@functools.cache
def _openmp() -> Callable[[Any, None, int, int], None] | None:
    """A parallel region of the OpenMP library that torch itself uses; None if it is not GNU's."""
    return _region(_BODY)


@functools.cache
def _region_by_address() -> Callable[[int, int, int, int], None] | None:
    """The same, of a function that is known by its address."""
    return _region(ctypes.c_void_p)


def _region(body: Any) -> Callable[[Any, Any, int, int], None] | None:
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        # A symbol is looked for in a library and what it is linked with.
        region = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return None
    region.argtypes = [body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    region.restype = None
    found: Callable[[Any, Any, int, int], None] = region
    return found


@functools.cache
def _waiting() -> Waiting:
    """How the threads of this process wait."""
    region = _openmp()
    if region is None:
        return Waiting(None, lambda: 0, lambda: 0)
    import resource  # Not on Windows, where OpenMP is not GNU's.

    def idle(threads: int) -> None:
        region(_BODY(lambda _: None), None, threads, 0)

    def count() -> int:
        return max(2, processors() - torch.get_num_threads() + 2)

    return Waiting(idle, count, lambda: resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _by_pool(task: Task, threads: int) -> None:
    """Run ``task`` in the caller's thread and in others of our own."""
    waiting = [_pool_of(os.getpid()).submit(task) for _ in range(threads - 1)]
    task()
    for future in waiting:
        # One that has not begun finds nothing left, and need not be waited for.
        if not future.cancel():
            future.result()


@functools.cache
def _pool_of(process: int) -> ThreadPoolExecutor:
    # Threads do not survive a fork, so a child makes its own.
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="t1c")
