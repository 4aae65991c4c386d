"""The network that is served: its executor, what goes in and out, and what is told of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from t1c import __version__, bridge, ir, nir, sdk
from t1c.bridge.engine.state_checks import States
from t1c.deploy.options import DType, check_dtype
from t1c.deploy.ports import at_rest
from t1c.ir.errors import InputError, Problem, UnsupportedError
from t1c.ir.step_plan import StepPlan

from .limits import Limits
from .ports import Port, Ports, inputs_of, outputs_of


@dataclass(frozen=True)
class Served:
    """A network, made ready to be served.

    Attributes:
        name: of its file.
        graph: what is served.
        executor: which runs it.
        inputs: what it takes.
        outputs: what it gives.
        any_order: sums are taken in any order.
        dt: seconds in one step; None where nothing says it.
        allow_nonfinite: NaN and infinite numbers are taken.
    """

    name: str
    graph: ir.Graph
    executor: bridge.GraphExecutor
    inputs: Ports
    outputs: Ports
    any_order: bool = False
    dt: float | None = None
    allow_nonfinite: bool = False

    def rest(self) -> States:
        """The state before the first step, of one sample."""
        found: dict[str, list[torch.Tensor]] = {}
        for node, _, value in at_rest(StepPlan(self.graph), self.inputs.dtype):
            found.setdefault(node, []).append(torch.from_numpy(value))
        return {node: tuple(own) for node, own in found.items()}

    def message_steps(self, limits: Limits) -> int:
        """How many steps one message of a stream may bring.

        Raises:
            InputError: not one.
        """
        size = max(self.inputs.bytes, self.outputs.bytes)
        for field in ("message", "call"):
            limit = getattr(limits, field)
            if limit < size:
                remedy = f"Raise it, or serve in float32: --{field} BYTES."
                raise InputError(
                    Problem(f"a step of {size} bytes", f"at most {field}={limit}", remedy)
                )
        return limits.message // size

    def facts(self, limits: Limits) -> dict[str, Any]:
        """What is told of the network: what it takes, gives and is."""
        analysis = sdk.summarize(self.graph, dt=self.dt, allow_nonfinite=True)
        held = {name: node.hold for name, node in self.graph.inputs().items()}
        final = {name: node.final for name, node in self.graph.outputs().items()}
        return {
            "t1c": __version__,
            "model": self.name,
            "fingerprint": sdk.fingerprint_graph(self.graph),
            "summary": list(analysis.lines),
            "nodes": len(self.graph.nodes),
            "edges": len(self.graph.edges),
            "inputs": [_port(p) | {"hold": held[p.name]} for p in self.inputs.ports],
            "outputs": [_port(p) | {"final": final[p.name]} for p in self.outputs.ports],
            "dt": self.dt,
            "dtype": self.inputs.dtype.name,
            "sums": "in any order" if self.any_order else "in their written order",
            "message_steps": self.message_steps(limits),
        }


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "shape": list(port.shape), "features": port.size}


def serve_network(
    model: ir.Graph | str | os.PathLike[str],
    *,
    dtype: DType = "float32",
    any_order: bool = False,
    dt: float | None = None,
    allow_nonfinite: bool = False,
) -> Served:
    """Make a network ready to be served.

    Args:
        model: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        dtype: of the arithmetic.
        any_order: take sums in whatever order is fastest, so that the last bits of a stream may
            depend on how many others are served; without, a network that has no written order is
            refused.
        dt: seconds in one step, for a ``.nir`` file that does not say it.
        allow_nonfinite: accept NaN and infinite numbers, in parameters and from clients.

    Raises:
        T1CError: the model is not valid, or cannot be served so.
        OSError: there is no such file.
    """
    check_dtype(dtype)
    if isinstance(model, ir.Graph):
        graph, name = model, "graph"
    else:
        graph = nir.read_graph(model, dt, allow_nonfinite=allow_nonfinite)
        name = os.path.basename(os.fspath(model))
    if not graph.inputs() or not graph.outputs():
        raise UnsupportedError(Problem("a graph without Input or Output", "one of each, at least"))
    try:
        executor = bridge.ir_to_torch(
            graph,
            return_state=True,
            dtype=getattr(torch, dtype),
            trainable=False,
            reproducible=not any_order,
        )
    except UnsupportedError as error:
        if any_order:
            raise
        raise UnsupportedError([_disordered(p) for p in error.problems]) from None
    numbers = np.dtype(dtype)
    return Served(
        name,
        graph,
        executor,
        inputs_of(graph, numbers),
        outputs_of(graph, numbers),
        any_order,
        sdk.analyze_graph(graph, dt=dt, allow_nonfinite=True).dt,
        allow_nonfinite,
    )


def _disordered(problem: Problem) -> Problem:
    remedy = "any_order=True (--any-order) serves it with sums in any order: the last bits of a "
    remedy += "stream may then depend on how many others are served."
    return Problem(problem.found, problem.expected, remedy, problem.where, problem.field)
