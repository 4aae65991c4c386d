"""What it gains to work a neuron together with its layer, or with all of a loop.

A neuron is worked by a loop that is generated from its definition: by itself, or called by one that
works the layer before it, or a step of a whole loop, on what is in the cache. Each line does that,
and the same layers one after another. The first run is the first in a
process that finds nothing compiled, less the second. One thread, time of the processor.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import torch
from pages import put_into

from t1c import bridge, ir

COMMAND = "python benchmarks/scans.py"
APART = {
    "together": (),
    "apart": (
        ("t1c.bridge.engine.stages._block", lambda *_: None),
        ("t1c.bridge.engine.step.program_for", lambda *_: None),
    ),
}
"""What is put in the place of what, so that layers and neurons are worked one after another."""
FIRST = " first run together | apart |", " ---: | ---: |"
"""Columns that take minutes: their names, and how they stand."""


def _lif(*shape: int) -> ir.LIF:
    ones = np.ones(shape)
    return ir.LIF(2 * ones, 2 * ones, 0 * ones, ones)


def _weight(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """On a grid, so that sums are the same in any order."""
    scale = 3 / np.sqrt(np.prod(shape[1:]))
    return np.round(rng.normal(0.1 * scale, scale, shape) * 256) / 256


def _dense(rng: np.random.Generator) -> list[ir.Node]:
    return [ir.Input((784,)), ir.Linear(_weight(rng, 512, 784)), _lif(512)]


def _maps(rng: np.random.Generator) -> list[ir.Node]:
    convolution = ir.Conv2d(_weight(rng, 32, 16, 3, 3), np.zeros(32), padding=(1, 1))
    return [ir.Input((16, 28, 28)), convolution, _lif(32, 1, 1), ir.MaxPool2d((2, 2))]


def _normed(rng: np.random.Generator) -> list[ir.Node]:
    first, layer, *rest = _maps(rng)
    one, none = np.ones(32), np.zeros(32)
    return [first, layer, ir.BatchNorm2d(32, one, none, none, one, statistics="sequence"), *rest]


def _feedback(rng: np.random.Generator) -> list[ir.Node]:
    return [ir.Input((38,)), _lif(38), ir.Linear(_weight(rng, 38, 38))]


Layers = Callable[[np.random.Generator], list[ir.Node]]
ROWS: dict[str, tuple[Layers, tuple[int, int], bool]] = {
    "Linear 784-512 and LIF, B=64, T=100": (_dense, (100, 64), False),
    "Conv2d 16-32 on 28x28, LIF and max pool, B=8, T=16": (_maps, (16, 8), False),
    "the same with a batch norm, trained": (_normed, (16, 8), True),
    "38 LIFs that hear themselves through a Linear, B=64, T=256": (_feedback, (256, 64), False),
}
"""Workload -> (its layers, (steps, samples), whether it is trained)."""


def _call(row: str) -> Callable[[], torch.Tensor]:
    """One run, or one step of training."""
    layers, lead, trained = ROWS[row]
    rng = np.random.default_rng(0)
    nodes = {str(n): node for n, node in enumerate(layers(rng))}
    names = list(nodes)
    edges = list(itertools.pairwise(names))
    last = names[-1]
    if layers is _feedback:
        edges.append((names[2], names[1]))
        last = names[1]
    shape = nodes["0"].shape
    output = {_feedback: (38,), _dense: (512,)}.get(layers, (32, 14, 14))
    cyclic = layers is _feedback
    graph = ir.Graph(
        {**nodes, "out": ir.Output(output)}, [*edges, (last, "out")], allow_cycles=cyclic
    )
    xs = torch.from_numpy((rng.random((*lead, *shape)) < 0.1).astype(np.float32))
    executor = bridge.ir_to_torch(graph, events=True)

    def run() -> torch.Tensor:
        with torch.set_grad_enabled(trained):
            ys, _ = executor.run(xs.requires_grad_(trained))
        if trained:
            ys.sum().backward()
        return ys.detach()

    return run


def _under(way: str, call: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    """Seconds of the processor, and what came out."""
    patches = [patch(target, change) for target, change in APART[way]]
    for each in patches:
        each.start()
    try:
        start = time.thread_time()
        found = call()
        return time.thread_time() - start, found
    finally:
        for each in patches:
            each.stop()


def _first(row: str, way: str) -> float:
    """Seconds that a first run takes longer than a second, in a process that finds nothing."""
    with tempfile.TemporaryDirectory() as empty:
        environment = {**os.environ, "NUMBA_CACHE_DIR": empty, "T1C_CACHE": empty}
        done = subprocess.run(
            [sys.executable, __file__, "--first", json.dumps([row, way])],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
    return float(done.stdout)


def _lines(rounds: int, first_runs: bool) -> Iterator[str]:
    yield "| workload | together | apart | ratio |" + FIRST[0] * first_runs
    yield "| --- | ---: | ---: | ---: |" + FIRST[1] * first_runs
    for row in ROWS:
        calls = {way: _call(row) for way in APART}
        outputs = [_under(way, call)[1] for way, call in calls.items()]
        if not (torch.equal(*outputs) and outputs[0].any()):
            raise RuntimeError(f"{row}: other spikes, or none")
        times: dict[str, list[float]] = {way: [] for way in APART}
        for n in range(rounds):
            for way in list(calls)[:: 1 if n % 2 else -1]:
                times[way].append(_under(way, calls[way])[0])
        together, apart = (median(times[way]) * 1e3 for way in APART)
        line = f"| {row} | {together:.3g} ms | {apart:.3g} ms | {apart / together:.3g} |"
        yield line + "".join(f" {_first(row, way):.1f} s |" for way in APART if first_runs)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="runs of each, in turn (9)")
    parser.add_argument("--first-runs", action="store_true", help="also what compiling takes")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    parser.add_argument("--first", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.first:
        row, way = json.loads(options.first)
        call = _call(row)
        begin, again = (_under(way, call)[0] for _ in range(2))
        sys.stdout.write(f"{begin - again}\n")
        return
    lines = []
    for line in _lines(options.rounds, options.first_runs):
        lines.append(line)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    if options.page:
        put_into(options.page, "\n".join(lines) + "\n", COMMAND)


if __name__ == "__main__":
    main()
