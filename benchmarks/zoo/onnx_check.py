"""A model's graph as an ONNX model in onnxruntime, against the executor."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from t1c import bridge, deploy, ir
from t1c.ir.primitives.neuron import SpikingNeuron

from .check import _first_line, _given, _named
from .compare import Count, count
from .entry import Entry
from .neurons import is_spikes
from .prepare import prepare
from .verdict import Found

STEPS, BATCH = 10, 2


def check_onnx(entry: Entry) -> Found:
    """Exports a model to a graph and the graph to ONNX, and runs both on the same input.

    Every output is compared, and the spikes of every neuron of the graph. Where a spike differs in
    float32, both are run in float64 as well, in which none may. No error leaves this.
    """
    found = Found(entry.framework, entry.name, refusal=entry.refusal)
    try:
        model = entry.model()
        found.layers = len(prepare(entry, model))
        sample = entry.layout.sample(entry.input(entry.steps, entry.batch, seed=2))
        graph = bridge.to_ir(model, sample, verify=False)
    except Exception as error:
        found.verdict, found.why = _named(error)
        found.why = f"no graph: {found.why}"
        return found
    found.nodes = len(graph.nodes)
    fixed = entry.layout.held or entry.fresh[0] == entry.steps
    xs = entry.input(entry.steps if fixed else STEPS, BATCH, seed=3)
    try:
        seen = observed(graph)
        given = _given(entry, seen, xs)
        differing, spikes, values = _compared(seen, given, "float32", found)
        found.spikes_off, found.spikes = spikes.differing, spikes.compared
        found.values_off, found.values = values.differing, values.compared
        if not differing:
            found.verdict = "EXACT"
        elif not spikes.differing + values.differing:
            found.verdict = "ROUNDED"
        else:
            _, spikes, values = _compared(seen, given, "float64", found)
            off = spikes.differing + values.differing
            found.verdict = "WRONG" if off else "ROUNDED"
            found.why = f"in float64 {off} of {spikes.compared + values.compared} differ"
    except Exception as error:
        refused = isinstance(error, ir.T1CError)
        found.verdict = "REFUSED" if refused else "CRASH"
        found.why = f"{'' if refused else type(error).__name__ + ': '}{_first_line(error)}"
    return found


def observed(graph: ir.Graph) -> ir.Graph:
    """The graph with an Output for the spikes of each of its neurons."""
    nodes, edges = dict(graph.nodes), list(graph.edges)
    for name, node in graph.nodes.items():
        if isinstance(node, SpikingNeuron):
            nodes[f"spikes of {name}"] = ir.Output(node.output_type["output"])
            edges.append((name, f"spikes of {name}"))
    return graph.replace(nodes=nodes, edges=edges)


def _compared(
    graph: ir.Graph, given: torch.Tensor, dtype: str, found: Found
) -> tuple[int, Count, Count]:
    """How many numbers differ in their bits; what counts as differing, of spikes and of values."""
    executor = bridge.ir_to_torch(graph, events=False, dtype=getattr(torch, dtype))
    x = given.to(getattr(torch, dtype))
    began = time.perf_counter()
    with torch.no_grad():
        outs, _ = executor.run(x)
    found.graph_seconds = time.perf_counter() - began
    named = outs if isinstance(outs, dict) else {next(iter(graph.outputs())): outs}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        deploy.to_onnx(graph, path, step=False, dtype=dtype)
        run = session(path, torch.get_num_threads())
    feeds: dict[str, Any] = {next(iter(graph.inputs())): x.numpy()}
    began = time.perf_counter()
    sent = run.run(list(named), feeds)
    found.model_seconds = time.perf_counter() - began
    bits, spikes, values, found.fired = 0, Count(), Count(), 0
    for (name, mine), other in zip(named.items(), sent, strict=True):
        got = torch.from_numpy(np.asarray(other))
        if got.shape != mine.shape:
            raise AssertionError(f"{name}: {tuple(got.shape)}, not {tuple(mine.shape)}")
        bits += int(((mine != got) & ~(mine.isnan() & got.isnan())).sum())
        if is_spikes(mine):
            spikes += count(mine, got)
            found.fired += int((mine != 0).sum())
        else:
            values += count(mine, got)
    return bits, spikes, values


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX model in onnxruntime on the CPU, which says nothing."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
