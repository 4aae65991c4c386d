"""The door: a graph becomes a file that ``torch.export.load`` opens where t1c is not installed."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from t1c import ir, nir
from t1c.ir.atomic import replacing
from t1c.ir.errors import InputError, Problem
from t1c.ir.primitives.border import how_many_steps
from t1c.nir.either import GraphSource
from t1c.sdk.jsonable import jsonable
from t1c.sdk.report import Facts, Part, Report
from t1c.sdk.runner import import_torch

from .ports import Port, Ports, StatePort, ports_of

DType = Literal["float32", "float64"]
"""What a program may compute in."""
SUFFIX = ".pt2"
NOTE = "t1c.json"
"""The name under which the file says what goes in and out, for ``extra_files``."""


@dataclass(frozen=True, repr=False)
class ExportedReport(Report):
    """What was written.

    Attributes:
        file: the path as it was given.
        kind: 'step' or 'sequence'.
        inputs: in the order of the arguments.
        outputs: in the order of the results.
        states: behind the inputs in the arguments, behind the outputs in the results.
        operators: how many of torch's the program holds, those in a loop counted once.
        bytes: of the file.
    """

    file: str
    kind: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[StatePort, ...]
    operators: int
    bytes: int

    def parts(self) -> list[Part]:
        """The file, and what goes in and out."""
        told: list[tuple[str, str]] = []
        for word, ports in (("in", self.inputs), ("out", self.outputs), ("state", self.states)):
            told += [(word, f"{p.name} ({', '.join(map(str, p.shape))})") for p in ports]
        what = "one step" if self.kind == "step" else "a sequence"
        size = f"{self.operators} operators, {self.bytes:,} bytes"
        return [f"{self.file}: {what} for torch.export.load, {size}", Facts(tuple(told))]


def to_exported(
    graph: GraphSource,
    path: str | os.PathLike[str],
    step: bool = True,
    *,
    steps: int | None = None,
    dtype: DType = "float32",
    dt: float | None = None,
) -> ExportedReport:
    """Write a graph as a program that torch runs by itself.

    ``torch.export.load(path).module()`` is then a function in any process that has torch, with or
    without t1c: ``output, state = program(x, state)``. It holds operators of torch's core alone,
    its batch is free, and its numbers are those of ``ir.Reference`` in the same dtype: bit for bit
    where sums are exact in any order, and otherwise but for rounding. See docs/exported.md.

    x is a tensor, or a dict by Input name where there are several; so is the output. The state is
    a dict of all state variables, ``"node.variable"`` -> (B, *features); what a node whose output
    runs back in time sent last is its variable ``sent``. At rest it is what
    ``program.example_inputs`` holds, and what the note ``t1c.json`` in the file says.

    Args:
        graph: the graph, or a ``.t1c`` or ``.nir`` file.
        path: the file to write, ``*.pt2``; it appears whole or not at all.
        step: one step: x is (B, *shape). False: a sequence in one loop: (T, B, *shape) with T
            free, or one value (B, *shape) for an Input that holds; outputs of all steps
            (T, B, ...), but (B, ...) for one that is final.
        steps: of a sequence of which all inputs are held: for how many steps, in the place of what
            they say.
        dtype: of the arithmetic.
        dt: of a ``.nir`` file that does not say it: seconds in one step.

    Raises:
        UnsupportedError: a node cannot be said in torch's core operators, or torch is missing.
        InputError: the path does not end in ``.pt2``, or ``steps`` has nothing to act on.
        GraphError, T1CFormatError, ConventionError: the graph or file is not valid.

    Example:
        >>> to_exported("model.t1c", "model.pt2")  # doctest: +SKIP
        >>> to_exported("model.t1c", "sequence.pt2", step=False)  # doctest: +SKIP
    """
    if Path(path).suffix != SUFFIX:
        found = f"the suffix {Path(path).suffix!r}"
        raise InputError(Problem(found, f"{SUFFIX}, as torch names programs", where=str(path)))
    if dtype not in get_args(DType):
        raise InputError(Problem(repr(dtype), " or ".join(get_args(DType)), field="dtype"))
    torch = import_torch()
    from .build import sequence_program, step_program
    from .capture import in_core, operations

    graph = nir.read_graph(graph, dt)
    ports = ports_of(graph, np.dtype(dtype))
    T = steps_of(ports, step, steps)
    with replacing(path) as temporary:
        program = step_program(graph, ports, getattr(torch, dtype))
        if not step:
            program = sequence_program(program, ports, T)
        program = in_core(program)
        inputs, outputs = _borders(ports, step)
        note = {
            "kind": "step" if step else "sequence",
            "dtype": dtype,
            "inputs": [asdict(port) for port in inputs],
            "outputs": [asdict(port) for port in outputs],
            "states": [asdict(port) for port in ports.state_ports()],
        }
        # By way of memory: torch warns of a name that does not end in .pt2.
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={NOTE: json.dumps(jsonable(note))})
        temporary.write_bytes(buffer.getvalue())
    return ExportedReport(
        file=os.fspath(path),
        kind="step" if step else "sequence",
        inputs=inputs,
        outputs=outputs,
        states=ports.state_ports(),
        operators=operations(program),
        bytes=os.stat(path).st_size,
    )


def steps_of(ports: Ports, step: bool, steps: int | None) -> int | None:
    """T of a sequence of which all inputs are held; None where a call decides it.

    Raises:
        InputError: steps are stated where nothing asks for them, or the inputs contradict.
    """
    held = {name: node.hold for name, node in ports.inputs.items() if node.hold is not None}
    if step or len(held) < len(ports.inputs):
        if steps is not None:
            found = f"steps={steps} for {'one step' if step else 'a sequence of any length'}"
            remedy = "Drop it."
            raise InputError(Problem(found, "it for a sequence of held inputs", remedy))
        return None
    return how_many_steps({}, held, steps)


def _borders(ports: Ports, step: bool) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """The inputs and the outputs, with the axes of a step or of a sequence."""

    def port(name: str, node: ir.Input | ir.Output, still: bool) -> Port:
        return Port(name, ("B", *node.shape) if step or still else ("T", "B", *node.shape))

    return (
        tuple(port(n, node, node.hold is not None) for n, node in ports.inputs.items()),
        tuple(port(n, node, node.final) for n, node in ports.outputs.items()),
    )
