"""The door: a graph becomes a file that ``torch.export.load`` opens where t1c is not installed."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict, dataclass

import numpy as np

from t1c import nir
from t1c.ir.atomic import replacing
from t1c.ir.errors import InputError, Problem
from t1c.ir.primitives.border import how_many_steps
from t1c.nir.either import GraphSource
from t1c.sdk.jsonable import jsonable
from t1c.sdk.runner import import_torch

from ..options import DType, check_dtype, check_suffix
from ..ports import input_ports, output_ports
from ..program_report import ProgramReport
from .ports import Ports, ports_of

SUFFIX = ".pt2"
NOTE = "t1c.json"
"""The name under which the file says what goes in and out, for ``extra_files``."""


@dataclass(frozen=True, repr=False)
class ExportedReport(ProgramReport):
    """What was written.

    The states follow the inputs in the arguments, and the outputs in the results.
    """

    def language(self) -> str:
        """What opens the file."""
        return "for torch.export.load"


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
    check_suffix(path, SUFFIX, ", as torch names programs")
    check_dtype(dtype)
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
        inputs, outputs = input_ports(graph, step), output_ports(graph, step)
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
        bytes=len(buffer.getvalue()),
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
