"""The door: a graph as plain C99."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from t1c import ir, nir
from t1c.ir.atomic import make_folder, write_text
from t1c.ir.errors import InputError, Problem, UnsupportedError
from t1c.ir.integers import integer_problems
from t1c.ir.ranges import Ranges
from t1c.nir.either import GraphSource
from t1c.sdk import Facts, Part, Report, format_bytes

from . import families
from .constants import TYPES
from .names import identifier
from .program import Program
from .project import project
from .source import Memory, body, header, needs_libm
from .storage import Storage

Numbers = Literal["float32", "float64", "int8", "int16", "int32"]
WIDTHS = {"int8": 8, "int16": 16, "int32": 32}
"""Types of weights in a program of integers."""
Layout = Literal["input", "output"]


@dataclass(frozen=True)
class CPort:
    """An argument of the step function.

    Attributes:
        name: of the Input or Output in the graph.
        called: in C.
        type: of its numbers in C.
        size: how many they are.
    """

    name: str
    called: str
    type: str
    size: int


@dataclass(frozen=True, repr=False)
class CReport(Report):
    """What was written, and what it takes.

    Attributes:
        folder: where the files are.
        name: what the functions and the struct begin with.
        numbers: the type of the arithmetic.
        files: their names.
        inputs: arguments of the step function behind the state, in this order.
        outputs: those that follow.
        weights: bytes of constant arrays.
        state: bytes that last from step to step.
        scratch: bytes that a step needs beside these, in the same struct.
        needs_libm: whether it is linked with the C library's mathematics.
    """

    folder: str
    name: str
    numbers: str
    files: tuple[str, ...]
    inputs: tuple[CPort, ...]
    outputs: tuple[CPort, ...]
    weights: int
    state: int
    scratch: int
    needs_libm: bool

    def parts(self) -> Sequence[Part]:
        """The files, and the memory."""
        return [
            Facts(
                (
                    ("Folder", self.folder),
                    ("Files", ", ".join(self.files)),
                    ("Functions", f"{self.name}_reset, {self.name}_step"),
                    ("Numbers", self.numbers),
                    ("Weights", format_bytes(self.weights)),
                    ("State", format_bytes(self.state)),
                    ("Scratch", format_bytes(self.scratch)),
                    ("Mathematics", "libm (-lm)" if self.needs_libm else "none needed"),
                )
            )
        ]


def to_c(
    graph: GraphSource,
    folder: str | Path,
    numbers: Numbers = "float32",
    *,
    name: str = "model",
    layout: Layout = "input",
    dt: float | None = None,
) -> CReport:
    """Write a graph as plain C99: a header, a source, and what builds and tries them.

    The state is a struct that the caller owns; nothing is allocated. ``NAME_reset(&state)`` puts it
    at rest, ``NAME_step(&state, inputs..., outputs...)`` works one step of one sample. Every sum
    and every neuron keeps the written order of operations, so that the numbers are those of
    ``ir.Reference(graph, dtype=numbers)``, bit for bit, on any weights; the exact form of GELU and
    powers that are no product or root take the C library's ``erf`` and ``pow``, and are its own
    within rounding.

    Args:
        graph: the graph, or a ``.t1c`` or ``.nir`` file.
        folder: is made if it is not there; files of these names are replaced, each of them whole.
        numbers: the type of the arithmetic, 'float32' or 'float64'; or that of the weights of a
            graph of integers, as ``sdk.quantize`` makes them, 'int8', 'int16' or 'int32': then
            every array has the least type that provably holds it, arithmetic is that of integers,
            and floats are met at the Inputs and Outputs alone, and in nodes that were kept real.
        name: what files, functions and the struct begin with; letters, digits, underscores.
        layout: how a weight of an Affine or Linear lies: 'input', a row for each input, so that an
            input of zero costs nothing; 'output', a row for each output. The numbers are the same.
        dt: of a ``.nir`` file that does not say it: seconds in one step.

    Raises:
        UnsupportedError: a node has no form in C; it is named.
        InputError: an option is none of these.
        GraphError, T1CFormatError, ConventionError: the graph or file is not valid.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from t1c import deploy, ir
        >>> one = np.ones(1)
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "fc": ir.Affine(np.eye(2), np.zeros(2)),
        ...      "lif": ir.LIF(2 * one, 2 * one, 0 * one, one), "out": ir.Output((2,))},
        ...     [("in", "fc"), ("fc", "lif"), ("lif", "out")],
        ... )
        >>> report = deploy.to_c(graph, tempfile.mkdtemp(), name="two")
        >>> report.files[:2], report.state, report.needs_libm
        (('two.h', 'two.c'), 8, False)
    """
    _check_options(numbers, name, layout)
    graph = nir.read_graph(graph, dt)
    families.load()
    if numbers in WIDTHS:
        program = Program(graph, np.dtype("float32"), layout, _integers(graph, WIDTHS[numbers]))
    else:
        program = Program(graph, np.dtype(numbers), layout)
    texts = {f"{name}.c": body(program, name)}
    texts = {f"{name}.h": header(program, name, f"{name}, a spiking neural network"), **texts}
    libm = needs_libm(program)
    texts |= project(program, name, libm)
    folder = Path(folder)
    for file, text in texts.items():
        path = folder / file
        make_folder(path.parent)
        write_text(path, text)
    memory = Memory.of(program)
    return CReport(
        str(folder),
        name,
        numbers,
        tuple(texts),
        _ports(program.inputs),
        _ports(program.outputs),
        memory.weights,
        memory.state,
        memory.scratch,
        libm,
    )


def _ports(arguments: Mapping[str, Storage]) -> tuple[CPort, ...]:
    return tuple(
        CPort(name, each.name, TYPES[each.dtype.name], each.size)
        for name, each in arguments.items()
    )


def _integers(graph: ir.Graph, bits: int) -> Ranges:
    """What is known of the numbers of a graph of integers, whose weights have so many bits."""
    ranges = Ranges(graph)
    problems = integer_problems(graph, ranges)
    problems += [
        Problem(
            f"weights from {weight.min():g} to {weight.max():g}",
            f"integers of {bits} bits",
            "Quantise it with fewer bits, or ask for a wider type.",
            f"node {name!r} ({node.primitive})",
            "weight",
        )
        for name, node in graph.flat().nodes.items()
        if type(node).macs is not ir.Node.macs and ranges[name].whole
        for weight in (p for key, p in node.parameters().items() if key.endswith("weight"))
        if weight.max() >= 2 ** (bits - 1) or weight.min() < -(2 ** (bits - 1))
    ]
    if problems:
        raise UnsupportedError(problems, "not a graph of integers of that type")
    return ranges


def _check_options(numbers: str, name: str, layout: str) -> None:
    if numbers not in get_args(Numbers):
        known = ", ".join(map(repr, get_args(Numbers)))
        raise InputError(Problem(repr(numbers), f"one of {known}", field="numbers"))
    if layout not in ("input", "output"):
        raise InputError(Problem(repr(layout), "'input' or 'output'", field="layout"))
    if identifier(name) != name:
        raise InputError(
            Problem(
                repr(name),
                "a name of C: letters, digits and single underscores, a letter first",
                field="name",
            )
        )
