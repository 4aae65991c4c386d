"""The ways out: each gives the outputs (T, B, *shape) of a sample by name."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from t1c import bridge, deploy, ir

from .sample import Arrays, Sample, named

Target = Callable[[Sample, Path], Arrays]
RUNNER = Path(__file__).parents[2] / "tests" / "wasm_steps.mjs"
STRICT = ["-std=c99", "-O2", "-ffp-contract=off"]


def executor(sample: Sample, folder: Path) -> Arrays:
    """The graph as a module of PyTorch, all steps at once."""
    network = bridge.ir_to_torch(sample.graph, return_state=True)
    xs = {n: torch.from_numpy(x) for n, x in sample.xs.items()}
    with torch.no_grad():
        found, _ = network.run(xs, collect="stack")
    return {n: y.numpy() for n, y in named(sample.graph, found).items()}


def onnx_step(sample: Sample, folder: Path) -> Arrays:
    """A model of one step in onnxruntime, its states handed on."""
    import onnxruntime

    path = folder / "step.onnx"
    deploy.to_onnx(sample.graph, path)
    session = onnxruntime.InferenceSession(path, _quiet(onnxruntime))
    names = [output.name for output in session.get_outputs()]
    state: Arrays = {}
    sent: dict[str, list[ir.fields.Array]] = {n: [] for n in sample.expected}
    for t in range(sample.steps):
        values = dict(zip(names, session.run(None, {**_at(sample, t), **state}), strict=True))
        state = {f"state/{n[5:]}": v for n, v in values.items() if n.startswith("next/")}
        for n, steps in sent.items():
            steps.append(values[n])
    return {n: np.stack(steps) for n, steps in sent.items()}


def exported_step(sample: Sample, folder: Path) -> Arrays:
    """A program of one step, loaded by torch alone."""
    path = folder / "step.pt2"
    deploy.to_exported(sample.graph, path)
    loaded = torch.export.load(path)
    (_, state), _ = loaded.example_inputs
    state = {n: v[:1].expand(sample.batch, *v.shape[1:]) for n, v in state.items()}
    program = loaded.module()
    sent: dict[str, list[ir.fields.Array]] = {n: [] for n in sample.expected}
    with torch.no_grad():
        for t in range(sample.steps):
            given = {n: torch.from_numpy(x) for n, x in _at(sample, t).items()}
            x = given if len(given) > 1 else next(iter(given.values()))
            found, state = program(x, state)
            for n, y in named(sample.graph, found).items():
                sent[n].append(y.numpy())
    return {n: np.stack(steps) for n, steps in sent.items()}


def c_for(compiler: str, *emulator: str, flags: tuple[str, ...] = ()) -> Target | None:
    """C, compiled and run, under an emulator where one is named; None where a tool is missing."""
    if not all(shutil.which(tool) for tool in (compiler, *emulator[:1])):
        return None

    def target(sample: Sample, folder: Path) -> Arrays:
        folder = folder / compiler
        report = deploy.to_c(sample.graph, folder, sample.numbers)
        sources = [str(folder / name) for name in ("main.c", f"{report.name}.c")]
        program = folder / report.name
        libraries = ["-lm"] if report.needs_libm else []
        subprocess.run(
            [compiler, *STRICT, *flags, "-o", str(program), *sources, *libraries], check=True
        )
        return _streamed(sample, [*emulator, str(program), "-b"])

    return target


def wasm(sample: Sample, folder: Path) -> Arrays:
    """A module of WebAssembly in Node.js."""
    path = folder / "model.wasm"
    report = deploy.to_wasm(sample.graph, path, sample.numbers)
    sizes = [
        ",".join(str(math.prod(port.shape)) for port in ports)
        for ports in (report.inputs, report.outputs)
    ]
    return _streamed(sample, ["node", str(RUNNER), str(path), *sizes])


def _streamed(sample: Sample, command: list[str]) -> Arrays:
    """What a program gives, to which the inputs of each sample are written step by step."""
    outputs = {n: np.zeros_like(y) for n, y in sample.expected.items()}
    for b in range(sample.batch):
        steps = [
            np.concatenate([x[t, b].ravel() for x in sample.xs.values()])
            for t in range(sample.steps)
        ]
        given = np.stack(steps).tobytes()
        ran = subprocess.run(command, input=given, capture_output=True, check=True)
        flat = np.frombuffer(ran.stdout, np.float32).reshape(sample.steps, -1)
        start = 0
        for y in outputs.values():
            size = y[0, b].size
            y[:, b] = flat[:, start : start + size].reshape(y[:, b].shape)
            start += size
    return outputs


def _at(sample: Sample, t: int) -> Arrays:
    return {n: np.ascontiguousarray(x[t]) for n, x in sample.xs.items()}


def _quiet(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return options
