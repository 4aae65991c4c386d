"""Measures one row: every candidate in one process, or each in one of its own for memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .floor import floor, learning_floor
from .machine import Neighbours
from .memory import ENVIRONMENT
from .model import Model
from .networks import Workload
from .row import FLOOR_LAST, OURS, Candidate, Row, Target
from .spread import ratios, spread
from .timing import alternate
from .training import training_step

Record = dict[str, Any]
STEPS = (1_000, 100_000)
ALIKE = 1e-4
"""The share of spikes that may differ, by the rounding of an equivalent formula."""


def measure(row: Row, seconds: float, device: torch.device) -> list[Record]:
    """What a row gave: for each quantity, the candidates' values and the targets' ratios."""
    neighbours = Neighbours()
    workload = row.workload().to(device)
    if row.kind == "stream":
        records = _streamed(row, device)
    elif row.kind == "memory":
        records = [_in_memory(row, device)]
    else:
        records = [_timed(row, workload, seconds)]
    for record in records:
        record["workload"], record["rates"] = workload.about, workload.rates
        record["others"] = neighbours.share()
    return records


# --- time -----------------------------------------------------------------------------


def _timed(row: Row, workload: Workload, seconds: float) -> Record:
    with ExitStack() as processes:
        return _alternating(row, workload, seconds, processes)


def _alternating(row: Row, workload: Workload, seconds: float, processes: ExitStack) -> Record:
    calls: dict[str, Callable[[], object]] = {}
    said: dict[str, Record] = {}
    for candidate in row.candidates:
        note = {"note": candidate.note}
        try:
            call, how = _call(row, candidate, workload, processes)
            floor_only = candidate.make is None and candidate.remote is None
            difference = None if floor_only else _difference(call(), workload)
        except Exception as error:  # a candidate that fails is a result, not an end
            said[candidate.name] = {**note, "failed": _short(error)}
            continue
        said[candidate.name] = {**note, "how": how, "differing": difference}
        if candidate.same and difference is not None and difference > ALIKE:
            said[candidate.name]["failed"] = f"{difference:.1%} of its spikes differ"
        else:
            calls[candidate.name] = call
    found = alternate(calls, seconds, least=7, most=101)
    per = len(workload.xs) if row.kind in ("step", "graded", "learnt") else 1
    values = {name: [t / per for t in times] for name, times in found.items()}
    return _record(row.key, row.title, "s", said, values, row.targets)


def _call(
    row: Row, candidate: Candidate, workload: Workload, processes: ExitStack
) -> tuple[Callable[[], object], str | None]:
    if candidate.remote is not None:
        return processes.enter_context(candidate.remote(workload, row.kind == "train")), None
    if candidate.make is None and row.kind == "train":
        return learning_floor(workload), None
    if candidate.make is None:
        call, how = floor(workload, candidate.name == FLOOR_LAST)
        return torch.inference_mode()(call), how
    model = candidate.make()(workload.network).to(workload.xs.device)
    if row.kind == "train":
        return training_step(model, workload.xs, workload.labels), None
    model.eval()
    if row.kind == "graded":
        return _steps(model, workload.xs), None
    if row.kind == "learnt":
        return _learnt(model, workload.xs), None
    make = _steps if row.kind == "step" else _run
    return torch.inference_mode()(make(model, workload.xs)), None


def _run(model: Model, xs: Tensor) -> Callable[[], Tensor]:
    return lambda: model(xs)


def _steps(model: Model, xs: Tensor) -> Callable[[], Tensor]:
    steps = list(xs)

    def call() -> Tensor:
        state, sent = None, []
        for x in steps:
            y, state = model.step(x, state)
            sent.append(y)
        return torch.stack(sent)

    return call


def _learnt(model: Model, xs: Tensor) -> Callable[[], Tensor]:
    steps = _steps(model, xs)

    def call() -> Tensor:
        model.zero_grad()
        spikes = steps()
        spikes.sum().backward()
        return spikes.detach()

    return call


def _difference(spikes: object, workload: Workload) -> float:
    """The share of output spikes that are not those of the definition."""
    assert isinstance(spikes, Tensor)
    return float((spikes != workload.spikes[-1]).float().mean())


# --- memory ---------------------------------------------------------------------------


def _in_memory(row: Row, device: torch.device, repeats: int = 3) -> Record:
    said = {c.name: {"note": c.note} for c in row.candidates}
    values: dict[str, list[float]] = {c.name: [] for c in row.candidates}
    for _ in range(repeats):
        for name, peaks in values.items():
            answer = _peak(row, name, device)
            if "failed" in answer:
                said[name]["failed"] = answer["failed"]
            else:
                peaks.append(answer["peak"])
    values = {name: peaks for name, peaks in values.items() if len(peaks) == repeats}
    return _record(row.key, row.title, "B", said, values, row.targets)


def _peak(row: Row, name: str, device: torch.device) -> Record:
    candidate = next(c for c in row.candidates if c.name == name)
    if candidate.remote is None:
        return _apart("--peak", f"{row.key}:{name}", device)
    try:
        with candidate.remote(row.workload(), True, environment=ENVIRONMENT) as process:
            return {"peak": process.peak()}
    except Exception as error:  # as one that runs here
        return {"failed": _short(error)}


def _streamed(row: Row, device: torch.device, repeats: int = 3) -> list[Record]:
    few, many = (f"{OURS}, T={T:,}" for T in STEPS)
    said = {name: {"note": '`executor.run(iterator, collect="sum")`'} for name in (many, few)}
    peaks: dict[str, list[float]] = {many: [], few: []}
    times: dict[str, list[float]] = {many: [], few: []}
    for _ in range(repeats):
        for name, T in ((many, STEPS[1]), (few, STEPS[0])):
            answer = _apart("--stream", f"{row.key}:{T}", device)
            if "failed" in answer:
                failed = {"failed": answer["failed"]}
                both = {name: {**own, **failed} for name, own in said.items()}
                return [_stream_record(row, what, both, {}) for what in ("memory", "time")]
            peaks[name].append(answer["peak"])
            times[name].append(answer["seconds"] / T)
    return [_stream_record(row, "memory", said, peaks), _stream_record(row, "time", said, times)]


def _stream_record(
    row: Row, what: str, said: dict[str, Record], values: dict[str, list[float]]
) -> Record:
    title = f"{row.title}: " + ("peak memory" if what == "memory" else "time per step")
    target = Target((f"{OURS}, T={STEPS[0]:,}",), 1.1, most=True, title=f"its own T={STEPS[0]:,}")
    unit = "B" if what == "memory" else "s"
    own = {name: dict(words) for name, words in said.items()}
    return _record(f"{row.key}-{what}", title, unit, own, values, (target,))


def _apart(option: str, what: str, device: torch.device) -> Record:
    """Runs this program in a process of its own, which answers in one line of JSON."""
    program = Path(__file__).resolve().parent.parent / "bench.py"
    threads = str(torch.get_num_threads())
    done = subprocess.run(
        [sys.executable, str(program), "--threads", threads, "--device", str(device), option, what],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["?"])[-1]}
    answer: Record = json.loads(done.stdout.splitlines()[-1])
    return answer


# --- what is written down ----------------------------------------------------------------


def _record(
    key: str,
    title: str,
    unit: str,
    said: dict[str, Record],
    values: dict[str, list[float]],
    targets: tuple[Target, ...],
) -> Record:
    ours = next(name for name in said if name.startswith(OURS))
    candidates = {}
    for name, own in said.items():
        candidates[name] = own
        if name in values:
            own |= {"values": values[name], **spread(values[name])}
            if ours in values:
                own["ratio"] = ratios(values[name], values[ours])
    return {
        "key": key,
        "title": title,
        "unit": unit,
        "ours": ours,
        "candidates": candidates,
        "targets": [_reached(target, ours, values) for target in targets],
    }


def _reached(target: Target, ours: str, values: dict[str, list[float]]) -> Record:
    title, ours = target.title or target.against[0], target.ours or ours
    record: Record = {"against": title, "reach": target.reach, "most": target.most, "ours": ours}
    there = [name for name in target.against if name in values]
    if ours not in values or not there:
        return {**record, "reached": False}
    best = min(there, key=lambda name: spread(values[name])["median"])
    pair = (values[ours], values[best]) if target.most else (values[best], values[ours])
    ratio = ratios(*pair)
    reached = ratio["median"] <= target.reach if target.most else ratio["median"] >= target.reach
    return {**record, "best": best, "ratio": ratio, "reached": reached}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
