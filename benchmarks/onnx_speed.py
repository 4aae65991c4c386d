"""How fast onnxruntime runs a graph's ONNX models, beside the executor.

The network is the MLP 784-512-512-10 with one input in ten active. The two take turns, on
one thread; the least processor time of all turns counts, because whatever else the machine does
only adds to it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from pages import put_into
from speed.machine import describe
from zoo.onnx_check import session

from t1c import bridge, deploy, ir

COMMAND = "python benchmarks/onnx_speed.py"
SIZES = (784, 512, 512, 10)


def main() -> None:
    """Measures, prints the table, and puts it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--page", type=Path, help="write the table into it")
    parser.add_argument("--turns", type=int, default=7, help="(7)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        "| | steps | executor | onnxruntime |",
        "| --- | ---: | ---: | ---: |",
        *(row(*case, options) for case in ((True, 1, 200), (False, 1, 1000), (False, 64, 100))),
    ]
    machine = describe(torch.device("cpu"))
    text = "\n".join(rows) + (
        f"\n\nMicroseconds of processor time for a step, the least of {options.turns} turns, one "
        f"thread, measured by `{COMMAND}` on {machine['cpu']}, torch {torch.__version__}, "
        f"onnxruntime {onnxruntime.__version__}."
    )
    sys.stdout.write(text + "\n")
    if options.page:
        put_into(options.page, text, COMMAND)


def network() -> ir.Graph:
    """Weights on the grid k/256, thresholds at which a few of a hundred neurons fire."""
    rng = np.random.default_rng(0)
    nodes: dict[str, ir.Node] = {"input": ir.Input(SIZES[:1])}
    for k, (inputs, outputs) in enumerate(itertools.pairwise(SIZES), 1):
        weight = np.round(rng.normal(0, 1.5 / inputs**0.5, (outputs, inputs)) * 256) / 256
        nodes[f"fc{k}"] = ir.Affine(weight.astype(np.float32), np.zeros(outputs, np.float32))
        one = np.array(1.0)
        nodes[f"lif{k}"] = ir.LIF(tau=4 * one, r=4 * one, v_leak=0 * one, v_threshold=one)
    nodes["output"] = ir.Output(SIZES[-1:])
    names = list(nodes)
    return ir.Graph(nodes, list(itertools.pairwise(names)))


def row(step: bool, batch: int, steps: int, options: argparse.Namespace) -> str:
    """One line of the table; what both answer is compared first."""
    graph = network()
    rng = np.random.default_rng(1)
    x = (rng.random((steps, batch, SIZES[0])) < 0.1).astype(np.float32)
    executor = bridge.ir_to_torch(graph, return_state=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        states = [p.name for p in deploy.to_onnx(graph, path, step).states]
        run = session(path, 1)
    names = ["output", *(f"next/{name[6:]}" for name in states)]

    def in_onnx() -> Any:
        if not step:
            return run.run(["output"], {"input": x})[0]
        sent, carried = [], {}
        for each in x:
            out, *after = run.run(names, {"input": each, **carried})
            carried = dict(zip(states, after, strict=True))
            sent.append(out)
        return np.stack(sent)

    def in_torch() -> Any:
        with torch.no_grad():
            if not step:
                return executor.run(torch.from_numpy(x))[0].numpy()
            sent, carried = [], None
            for each in torch.from_numpy(x):
                out, carried = executor(each, carried)
                sent.append(out)
            return torch.stack(sent).numpy()

    if not (np.array_equal(in_onnx(), in_torch()) and in_torch().sum()):
        raise AssertionError("they fire other spikes, or none")
    best = turns([in_torch, in_onnx], options.turns)
    what = "one step at a time" if step else "a whole sequence"
    cells = " | ".join(f"{1e6 * seconds / steps:.0f}" for seconds in best)
    return f"| {what}, B={batch} | {steps} | {cells} |"


def turns(works: list[Callable[[], Any]], count: int) -> list[float]:
    """The least processor time of each, taken in turns."""
    best = [float("inf")] * len(works)
    for _ in range(count):
        for k, work in enumerate(works):
            start = time.process_time()
            work()
            best[k] = min(best[k], time.process_time() - start)
    return best


if __name__ == "__main__":
    main()
