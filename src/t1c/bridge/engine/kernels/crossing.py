"""Below which density adding up active inputs beats a dense product: measured once, and kept.

The density is a matter of the layer, the processor and the threads. It is measured on random input
when a layer is first met, and kept in a file, so that a machine always takes the same way.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from t1c import __version__
from t1c.ir.atomic import make_folder, write_text

VARIABLE = "T1C_CACHE"
"""The environment variable that names the folder of the file."""
LOW, HIGH = 0.05, 0.25
"""The densities at which the sparse way is timed; between and beyond them its time is a line."""
LEAST, MOST = 0.02, 0.5
FEW, ROUNDS, ENOUGH = 4, 9, 0.06
"""How often both ways are timed at least and at most, and the seconds after which no more are: on a
busy machine a way that was in luck in none of its rounds would seem slow for good."""

STATED = 0.25
"""The density that is taken where nothing may be measured: what it gives `t1c score` is in
docs/distributed.md."""

_known: dict[str, float] | None = None
_stated = 0
_lock = threading.Lock()


def cache_file() -> Path:
    """Where crossings are kept."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        folder = os.path.join(base, "t1c")
    return Path(folder) / "crossings.json"


def crossing(
    layer: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    dense: Callable[[Tensor], object],
    sparse: Callable[[Tensor], object],
) -> float:
    """The density below which ``sparse`` is faster than ``dense`` on input of ``shape``.

    Args:
        layer: what is worked, in words that tell it from others.
        shape: of the input that both take.
        dtype: of the arithmetic.
        dense: one way.
        sparse: the other.
    """
    if _stated:
        return STATED
    threads = torch.get_num_threads()
    kind = str(dtype).removeprefix("torch.")
    key = f"{__version__}, {_processor()}, {threads} threads: {layer}, {kind}"
    with _lock:
        known = _load()
        if key not in known:
            known[key] = _measure(shape, dtype, dense, sparse)
            _save(known)
        return known[key]


@contextlib.contextmanager
def unmeasured() -> Iterator[None]:
    """Within the block every layer crosses at ``STATED``, whatever is faster.

    Which way a layer is worked, and so the order of its sums, then depends on its input alone, and
    not on what this machine was doing when it was measured.
    """
    global _stated
    with _lock:
        _stated += 1
    try:
        yield
    finally:
        with _lock:
            _stated -= 1


def _measure(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    dense: Callable[[Tensor], object],
    sparse: Callable[[Tensor], object],
) -> float:
    generator = torch.Generator().manual_seed(0)
    chance = torch.rand(shape, generator=generator)
    low, high = ((chance < d).to(dtype) for d in (LOW, HIGH))
    with torch.no_grad():
        sparse(low)  # compiles
        ways = ((dense, low), (sparse, low), (sparse, high))
        rounds: list[list[float]] = []
        while len(rounds) < FEW or (len(rounds) < ROUNDS and sum(map(sum, rounds)) < ENOUGH):
            rounds.append([_seconds(f, x) for f, x in ways])
    # The least of several: what other processes take only ever adds.
    times = [min(column) for column in zip(*rounds, strict=True)]
    rise = max((times[2] - times[1]) / (HIGH - LOW), 1e-12)
    found = LOW + (times[0] - times[1]) / rise
    return float(round(min(max(found, LEAST), MOST), 3))


def _seconds(function: Callable[[Tensor], object], x: Tensor) -> float:
    # With one thread, its own time: on a busy machine it waits for the processor.
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    function(x)
    return clock() - start


def _processor() -> str:
    return platform.processor() or platform.machine()


def _load() -> dict[str, float]:
    global _known
    if _known is None:
        _known = _read()
    return _known


def _read() -> dict[str, float]:
    """What the file holds; nothing where it cannot be read, or holds something else."""
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(cache_file().read_text())
        if isinstance(kept, dict):
            return {k: float(v) for k, v in kept.items() if isinstance(v, int | float)}
    return {}


def _save(known: dict[str, float]) -> None:
    # Other processes may have measured other layers since the file was read.
    known |= {k: v for k, v in _read().items() if k not in known}
    # Without a place to write it is measured again by the next process.
    with contextlib.suppress(OSError):
        path = cache_file()
        make_folder(path.parent)
        write_text(path, json.dumps(known, indent=1))
