"""The door: a graph as a module of WebAssembly."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from t1c import ir, nir
from t1c.deploy.c import Numbers, to_c
from t1c.ir.atomic import replacing
from t1c.ir.errors import Problem, UnsupportedError
from t1c.nir.either import GraphSource
from t1c.sdk.report import Facts, Part, Report

from ..options import check_suffix
from . import glue
from .compiler import compiled

SUFFIX = ".wasm"
CALLED = re.compile(r"\b(powf?|erff?)\(")
NAME = "model"


@dataclass(frozen=True)
class WasmPort:
    """An input or output of a module.

    Attributes:
        name: as in the graph.
        number: what ``address`` takes for it.
        shape: of its numbers, without batch and time.
    """

    name: str
    number: int
    shape: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class WasmReport(Report):
    """What was written.

    Attributes:
        file: the path as it was given.
        numbers: the type of the numbers that go in and out.
        inputs: in the graph's order.
        outputs: in the graph's order.
        weights: bytes of constants.
        state: bytes that last from step to step.
        bytes: of the file.
    """

    file: str
    numbers: str
    inputs: tuple[WasmPort, ...]
    outputs: tuple[WasmPort, ...]
    weights: int
    state: int
    bytes: int

    def parts(self) -> list[Part]:
        """The file, and what goes in and out."""
        told: list[tuple[str, str]] = []
        for word, ports in (("in", self.inputs), ("out", self.outputs)):
            told += [(word, f"{p.name} {p.shape} at address({p.number})") for p in ports]
        return [f"{self.file}: one step in WebAssembly, {self.bytes:,} bytes", Facts(tuple(told))]


def to_wasm(
    graph: GraphSource,
    path: str | os.PathLike[str],
    numbers: Numbers = "float32",
    *,
    dt: float | None = None,
) -> WasmReport:
    """Write a graph as a module of WebAssembly that imports nothing.

    It is the C that ``deploy.to_c`` writes, compiled by clang without a C library; its numbers are
    those of ``ir.Reference(graph, dtype=numbers)``, bit for bit. The module exports ``memory``,
    ``reset()``, ``step()`` and ``address(n)``: where the numbers of input n begin in the memory,
    and, counted on, those of the outputs.

    Args:
        graph: the graph, or a ``.t1c`` or ``.nir`` file.
        path: the file to write, ``*.wasm``; it appears whole or not at all.
        numbers: as of ``to_c``.
        dt: of a ``.nir`` file that does not say it: seconds in one step.

    Raises:
        UnsupportedError: clang or its linker is missing; or a node has no form in C, or takes the
            C library's mathematics.
        InputError: the path does not end in ``.wasm``.

    Example:
        >>> to_wasm("model.t1c", "model.wasm")  # doctest: +SKIP
    """
    check_suffix(path, SUFFIX)
    graph = nir.read_graph(graph, dt)
    inputs, outputs = graph.inputs(), graph.outputs()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        report = to_c(graph, folder, numbers, name=NAME)
        _check_library(graph, (folder / f"{NAME}.c").read_text())
        for name, text in glue.HEADERS.items():
            (folder / name).write_text(text)
        (folder / "glue.c").write_text(glue.source(NAME, [*report.inputs, *report.outputs]))
        module = compiled(folder, ["glue.c", f"{NAME}.c"], NAME).read_bytes()
    with replacing(path) as temporary:
        temporary.write_bytes(module)
    ports = [
        WasmPort(name, number, tuple(node.shape))
        for number, (name, node) in enumerate([*inputs.items(), *outputs.items()])
    ]
    return WasmReport(
        file=os.fspath(path),
        numbers=numbers,
        inputs=tuple(ports[: len(inputs)]),
        outputs=tuple(ports[len(inputs) :]),
        weights=report.weights,
        state=report.state,
        bytes=len(module),
    )


def _check_library(graph: ir.Graph, text: str) -> None:
    """Refuse what calls a function of C's library that is no instruction of WebAssembly."""
    if not CALLED.search(text):
        return
    names = [
        name
        for name, node in graph.flat().nodes.items()
        if isinstance(node, ir.Power)
        or (isinstance(node, ir.Binary) and node.op == "power")
        or (isinstance(node, ir.GELU) and not node.approximate)
    ]
    raise UnsupportedError(
        Problem(
            "pow or erf of C's library, which a module of WebAssembly does not have",
            "GELU(approximate=True), and powers that are products or roots",
            where=f"among nodes {', '.join(map(repr, names))}",
        )
    )
