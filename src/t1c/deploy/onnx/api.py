"""The door: a graph becomes a file that onnxruntime runs where t1c is not installed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

import numpy as np

from t1c import ir, nir
from t1c.ir.atomic import replacing
from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.integers import KEY, exact_formats
from t1c.ir.step_plan import StepPlan
from t1c.nir.either import GraphSource

from ..options import DType, check_dtype, check_suffix
from ..ports import Port, input_ports, output_ports
from ..program_report import ProgramReport
from .model import OPSET, model_of
from .one_step import write_one_step
from .package import import_onnx
from .ports import StatePort, states_of
from .primitives import TRANSLATIONS
from .sequence import write_sequence
from .writer import Shared, Writer

SUFFIX = ".onnx"


@dataclass(frozen=True, repr=False)
class OnnxReport(ProgramReport):
    """What was written.

    A state goes in as ``state/<node>/<variable>``, and need not be given at rest, and comes out as
    ``next/<node>/<variable>``.

    Attributes:
        opset: of the standard operators.
    """

    opset: int = OPSET

    def language(self) -> str:
        """ONNX's, with the version of its operators."""
        return f"in ONNX, opset {self.opset}"


def to_onnx(
    graph: GraphSource,
    path: str | os.PathLike[str],
    step: bool = True,
    *,
    dtype: DType = "float32",
    dt: float | None = None,
) -> OnnxReport:
    """Write a graph as an ONNX model of standard operators.

    onnxruntime, and whatever else reads ONNX, then runs it where neither t1c nor PyTorch is
    installed. Its batch is free; its numbers are those of ``ir.Reference`` in the same dtype: the
    same spikes where sums are exact in any order, and otherwise but for rounding. See docs/onnx.md.

    Inputs and outputs are called as in the graph. Each state variable goes in as
    ``state/<node>/<variable>`` and comes out as ``next/<node>/<variable>``; one that is not given
    is at rest, and one of a single sample is laid over the batch. What a node whose output runs
    back in time sent last is its variable ``sent``.

    Args:
        graph: the graph, or a ``.t1c`` or ``.nir`` file.
        path: the file to write, ``*.onnx``; it appears whole or not at all.
        step: one step: inputs (B, *shape). False: a sequence: (T, B, *shape) with T free, or one
            value (B, *shape) for an Input that holds; outputs of all steps (T, B, ...), but
            (B, ...) for one that is final. Where all inputs hold, ``run/steps`` says for how many
            steps, and need not be given where they agree.
        dtype: of the arithmetic; onnxruntime has no ConvTranspose and no Erf in float64.
            A graph of integers is refused where the dtype does not hold them all.
        dt: of a ``.nir`` file that does not say it: seconds in one step.

    Raises:
        UnsupportedError: a node cannot be said in ONNX, or the package onnx is missing.
        InputError: the path does not end in ``.onnx``.
        GraphError, T1CFormatError, ConventionError: the graph or file is not valid.

    Example:
        >>> to_onnx("model.t1c", "step.onnx")  # doctest: +SKIP
        >>> to_onnx("model.t1c", "sequence.onnx", step=False)  # doctest: +SKIP
    """
    check_suffix(path, SUFFIX, ", as its readers expect")
    check_dtype(dtype)
    import_onnx()
    graph = nir.read_graph(graph, dt)
    _check_integers(graph, dtype)
    plan = StepPlan(graph)
    w = Writer(Shared(np.dtype(dtype), TRANSLATIONS))
    states = states_of(plan, w.dtype)
    _reserve(w, plan, states)
    write = write_one_step if step else write_sequence
    asked, given = write(w, graph, plan, states)
    inputs, outputs = (*input_ports(graph, step), *asked), output_ports(graph, step)
    kind = "step" if step else "sequence"
    notes = {"t1c.kind": kind, "t1c.states": _states_note(states)}
    with replacing(path) as temporary:
        model = model_of(w, inputs, outputs, states, given, notes)
        whole = model.SerializeToString()
        temporary.write_bytes(whole)
    return OnnxReport(
        file=os.fspath(path),
        kind=kind,
        inputs=inputs,
        outputs=outputs,
        states=tuple(Port(p.name, ("B", *p.shape)) for p in states),
        operators=w.count(),
        bytes=len(whole),
    )


def _check_integers(graph: ir.Graph, dtype: DType) -> None:
    """A graph of integers is worked exactly, or not at all."""
    large = exact_formats(graph)[dtype] if KEY in graph.metadata else []
    if large:
        remedy = "Use dtype='float64'." if dtype == "float32" else "Quantize to fewer bits."
        found = f"integers that {dtype} does not hold exactly"
        raise UnsupportedError([Problem(found, "", remedy, f"node {name!r}") for name in large])


def _reserve(w: Writer, plan: StepPlan, states: list[StatePort]) -> None:
    """Names that the model promises are for nothing else."""
    w.shared.taken |= set(plan.nodes)
    for port in states:
        w.shared.taken |= {port.name, port.next_name}


def _states_note(states: list[StatePort]) -> str:
    """Which output becomes which input at the next call, as JSON."""
    return json.dumps({port.name: port.next_name for port in states})
