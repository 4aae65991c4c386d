"""One measurement of `load.py`, in a process of its own: nodes or bytes, ours or those before it.

Run as `load_worker.py nodes PACKAGE COUNT FILE`, where the package is `t1c` or `talon` (talon-ir
and talon-bridge, of the design of the first implementation), or as `load_worker.py bytes HOW FILE`.
Prints JSON: seconds of processor time, and bytes of memory.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

WIDTH = 8


def chain(ir: Any, count: int) -> Any:
    """Layers and neurons in turn; each has numbers of its own."""
    rng = np.random.default_rng(0)
    nodes = {"input": ir.Input(input_type={"input": np.array([WIDTH])})}
    edges = []
    last = "input"
    for k in range(count // 2):
        weight = rng.standard_normal((WIDTH, WIDTH)).astype(np.float32)
        nodes[f"fc{k}"] = ir.Affine(weight=weight, bias=np.zeros(WIDTH, np.float32))
        nodes[f"lif{k}"] = ir.LIF(
            tau=rng.uniform(1, 9, WIDTH).astype(np.float32),
            r=np.ones(WIDTH, np.float32),
            v_leak=np.zeros(WIDTH, np.float32),
            v_threshold=rng.uniform(0.1, 1, WIDTH).astype(np.float32),
        )
        edges += [(last, f"fc{k}"), (f"fc{k}", f"lif{k}")]
        last = f"lif{k}"
    nodes["output"] = ir.Output(output_type={"output": np.array([WIDTH])})
    edges.append((last, "output"))
    return ir.Graph(nodes=nodes, edges=edges)


def large(ir: Any, size: int) -> Any:
    """A graph of four layers whose weights have so many bytes."""
    rng = np.random.default_rng(0)
    width = int((size / 16) ** 0.5)
    nodes = {"input": ir.Input((width,))}
    edges = []
    last = "input"
    for k in range(4):
        weight = rng.standard_normal((width, width), dtype=np.float32)
        nodes[f"fc{k}"] = ir.Affine(weight, np.zeros(width, np.float32))
        edges.append((last, f"fc{k}"))
        last = f"fc{k}"
    nodes["output"] = ir.Output((width,))
    edges.append((last, "output"))
    return ir.Graph(nodes, edges)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the processor time of it."""
    gc.collect()
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def nodes(package: str, count: int, path: str) -> dict[str, float]:
    """Write, read, import and step a chain."""
    ir = importlib.import_module(f"{package}.ir")
    bridge = importlib.import_module(f"{package}.bridge")
    step(bridge, bridge.ir_to_torch(chain(ir, 8), return_state=True))  # compiles, if anything does
    graph = chain(ir, count)
    _, write = timed(lambda: ir.write(path, graph))
    graph, read = timed(lambda: ir.read(path))
    executor, imported = timed(lambda: bridge.ir_to_torch(graph, return_state=True))
    _, stepped = timed(lambda: step(bridge, executor))
    return {"write": write, "read": read, "import": imported, "first step": stepped}


def step(bridge: Any, executor: Any) -> Any:
    """One step from rest."""
    return executor(torch.ones(1, WIDTH), {})


def memory() -> int:
    """Bytes of this process, what it shares with itself counted once."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not tell")


def read_bytes(path: str) -> bytes:
    """The file as it is."""
    with open(path, "rb") as file:
        return file.read()


def of_bytes(how: str, path: str) -> dict[str, float]:
    """Open a file in one way; everything is loaded before, and the file is in the page cache."""
    from t1c import bridge, ir

    step_graph = large(ir, 2**12)
    bridge.ir_to_torch(step_graph)
    ways: dict[str, Callable[[], Any]] = {
        "bytes": lambda: read_bytes(path),
        "read": lambda: ir.read(path),
        "load": lambda: bridge.load(path),
        "map": lambda: bridge.ir_to_torch(ir.read(path, mmap=True)),
    }
    before = memory()
    kept, seconds = timed(ways[how])
    found = {"seconds": seconds, "memory": float(memory() - before)}
    if how == "read":
        second, found["import"] = timed(lambda: bridge.ir_to_torch(kept))
        found["memory"] = float(memory() - before)
        del second
    return found


def main() -> None:
    """Measures once."""
    kind, *rest = sys.argv[1:]
    if kind == "make":
        from t1c import ir

        ir.write(rest[1], large(ir, int(rest[0])))
        return
    found = nodes(rest[0], int(rest[1]), rest[2]) if kind == "nodes" else of_bytes(*rest)
    os.write(1, json.dumps(found).encode())


if __name__ == "__main__":
    main()
