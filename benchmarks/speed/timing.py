"""Timing several calls side by side."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import torch

from .by_jax import Remote

Call = Callable[[], object]


def alternate(calls: dict[str, Call], seconds: float, least: int, most: int) -> dict[str, list]:
    """Seconds of each call, round by round: each round makes every call once.

    Rounds follow until `seconds` have passed, but at least `least` and at most `most`. They
    begin with another call each, so that none always runs behind the same one.
    """
    names = list(calls)
    for call in calls.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in names}
    begin = time.perf_counter()
    for k in range(most):
        if k >= least and time.perf_counter() - begin > seconds:
            break
        first = k % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(timed(calls[name]))
    return found


def timed(call: Call) -> float:
    """Seconds of one call, without garbage collections within it; another process tells its own."""
    if isinstance(call, Remote):
        return call.seconds()
    gc.collect()
    gc.disable()
    try:
        _wait()
        start = time.perf_counter()
        call()
        _wait()
        return time.perf_counter() - start
    finally:
        gc.enable()


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
