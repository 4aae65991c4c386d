"""How fast a step in C is beside the executor, one sample at a time, and how large it is.

Both are given one processor and the same spikes, 10 % of the inputs; outputs must be equal. The
times are of this process on its processor, the least of several turns taken in alternation.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pages import put_into

from t1c import bridge, deploy, ir

COMMAND = "python benchmarks/c_speed.py"
T, TURNS = 1000, 7
BOARD = ("-Os", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
LOOP = """
#include "model.h"
void run(model_state *s, size_t steps, const float *x, float *y) {
    for (size_t t = 0; t < steps; t++) {
        model_step(s, x + t * INPUTS, y + t * OUTPUTS);
    }
}
"""


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--page", type=Path, help="write the table into this page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "| network | C, `-O3` | C, `-O3 -march=native` | executor, `run` | executor, a step | "
        "weights | state | scratch | code on a Cortex-M4 |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, graph in (("MLP 784-512-512-10", mlp()), ("convolutions on 28 x 28", convolutions())):
        with tempfile.TemporaryDirectory() as folder:
            lines.append(row(name, graph, Path(folder)))
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if options.page:
        put_into(options.page, text, COMMAND)


def mlp() -> ir.Graph:
    """Three dense layers of LIF neurons."""
    rng = np.random.default_rng(0)
    nodes: dict[str, ir.Node] = {"in": ir.Input((784,))}
    for n, (a, b, gain) in enumerate(((784, 512, 3.5), (512, 512, 3.5), (512, 10, 3.5)), 1):
        weight = np.round(rng.normal(0, gain / np.sqrt(a), (b, a)) * 256) / 256
        nodes[f"fc{n}"] = ir.Affine(weight.astype("float32"), np.zeros(b, "float32"))
        nodes[f"lif{n}"] = lif()
    return chained(nodes, (10,))


def convolutions() -> ir.Graph:
    """Two layers of convolutions and one dense layer."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> Any:
        spread = 2 / np.sqrt(np.prod(shape[1:]))
        return (np.round(rng.normal(0.02, spread, shape) * 256) / 256).astype("float32")

    return chained(
        {
            "in": ir.Input((1, 28, 28)),
            "conv1": ir.Conv2d(weight(16, 1, 3, 3), np.zeros(16, "float32"), padding=(1, 1)),
            "lif1": lif(),
            "pool1": ir.MaxPool2d((2, 2)),
            "conv2": ir.Conv2d(weight(32, 16, 3, 3), np.zeros(32, "float32"), padding=(1, 1)),
            "lif2": lif(),
            "pool2": ir.MaxPool2d((2, 2)),
            "flat": ir.Flatten(),
            "fc": ir.Affine(weight(10, 1568), np.zeros(10, "float32")),
            "lif3": lif(),
        },
        (10,),
    )


def lif() -> ir.LIF:
    """Neurons that spike in about a tenth of the steps."""
    two = np.array(2.0)
    return ir.LIF(2 * two, 2 * two, 0 * two, two / 2)


def chained(nodes: dict[str, ir.Node], out: tuple[int, ...]) -> ir.Graph:
    """Nodes one behind another, and an Output."""
    names = [*nodes, "out"]
    return ir.Graph(nodes | {"out": ir.Output(out)}, list(itertools.pairwise(names)))


def row(name: str, graph: ir.Graph, folder: Path) -> str:
    """A line of the table."""
    shape = graph.inputs()["in"].shape
    xs = (np.random.default_rng(1).random((T, *shape)) < 0.1).astype("float32")
    report = deploy.to_c(graph, folder)
    found: dict[str, np.ndarray[Any, Any]] = {}
    executor: Any = bridge.ir_to_torch(graph, return_state=True)
    given = torch.from_numpy(xs)[:, None]

    def sequence() -> None:
        with torch.inference_mode():
            found["run"] = executor.run(given)[0][:, 0].numpy()

    def stepping() -> None:
        with torch.inference_mode():
            state = None
            for x in given:
                _, state = executor(x, state)

    calls: dict[str, Callable[[], None]] = {
        "plain": in_c(folder, xs, found, "plain"),
        "native": in_c(folder, xs, found, "native", "-march=native"),
        "run": sequence,
        "step": stepping,
    }
    times: dict[str, float] = dict.fromkeys(calls, float("inf"))
    for _ in range(TURNS):
        for key, call in calls.items():
            begun = time.process_time()
            call()
            times[key] = min(times[key], (time.process_time() - begun) / T * 1e6)
    spikes = int(found["plain"].sum())
    if spikes == 0 or any(not np.array_equal(found["plain"], y) for y in found.values()):
        sys.exit(f"{name}: outputs differ, or nothing fired ({spikes} spikes)")
    sizes = (report.weights, report.state, report.scratch)
    shown = [*(f"{times[key]:.1f} µs" for key in calls), *(f"{n:,} B" for n in sizes)]
    return f"| {name} | {' | '.join([*shown, code(folder, report.weights)])} |"


def in_c(
    folder: Path, xs: np.ndarray[Any, Any], found: dict[str, Any], key: str, *flags: str
) -> Callable[[], None]:
    """All steps in C."""
    size = int(np.prod(xs.shape[1:]))
    loop = LOOP.replace("INPUTS", str(size)).replace("OUTPUTS", "10")
    (folder / "loop.c").write_text(loop)
    library = folder / f"{key}.so"
    strict = ["-std=c99", "-O3", "-ffp-contract=off", "-fPIC", "-shared", *flags]
    subprocess.run(["gcc", *strict, "-o", library, "loop.c", "model.c"], cwd=folder, check=True)
    run = ctypes.CDLL(str(library))
    state = np.zeros(1 << 20, np.float32)
    y = np.zeros((T, 10), np.float32)
    found[key] = y

    def call() -> None:
        run.model_reset(state.ctypes.data_as(ctypes.c_void_p))
        pointers = (ctypes.c_void_p(a.ctypes.data) for a in (xs, y))
        run.run(state.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(T), *pointers)

    return call


def code(folder: Path, weights: int) -> str:
    """What arm-none-eabi-size says of the flash, less the weights."""
    if not shutil.which("arm-none-eabi-gcc"):
        return "arm-none-eabi-gcc is not installed"
    command = ["arm-none-eabi-gcc", "-std=c99", *BOARD, "-c", "-o", "m.o", "model.c"]
    subprocess.run(command, cwd=folder, check=True)
    listed = subprocess.check_output(["arm-none-eabi-size", "m.o"], cwd=folder, text=True)
    return f"{int(listed.splitlines()[1].split()[0]) - weights:,} B"


if __name__ == "__main__":
    main()
