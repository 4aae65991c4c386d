"""What runs in a process of its own: one candidate's memory, one length of a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from . import memory
from .row import Row
from .training import training_step


def training_peak(row: Row, name: str, device: torch.device) -> dict[str, float]:
    """The peak of a candidate's training step; two steps of time warm it up."""
    workload = row.workload().to(device)
    candidate = next(c for c in row.candidates if c.name == name)
    assert candidate.make is not None
    model = candidate.make()(workload.network).to(device)
    xs, labels = workload.xs, workload.labels
    del workload
    training_step(model, xs[:2], labels)()
    return {"peak": memory.peak(training_step(model, xs, labels), device)}


def stream(row: Row, T: int, device: torch.device) -> dict[str, float]:
    """Memory and time of T steps from an iterator, the outputs summed."""
    from .by_t1c import T1C

    workload = row.workload().to(device)
    executor = T1C(workload.network).to(device).executor
    steps = list(workload.xs)
    del workload

    def run(T: int) -> float:
        start = time.perf_counter()
        executor.run(_steps(steps, T), None, collect="sum")
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    with torch.inference_mode():
        run(2)
        peak = memory.peak(lambda: run(T), device, repeats=1)
        times = [run(T)]
        while sum(times) < 1:
            times.append(run(T))
    return {"peak": peak, "seconds": sorted(times)[len(times) // 2]}


def _steps(steps: list[Tensor], T: int) -> Iterator[Tensor]:
    for t in range(T):
        yield steps[t % len(steps)]
