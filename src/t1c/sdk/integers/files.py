"""A file made one of integers: ``t1c quantize``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.nir import read_graph

from ..numbers import format_bytes
from ..report import Facts, Part, Report
from .quantize import quantize
from .report import QuantizationReport, quantization_report

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, repr=False)
class QuantizedFile(Report):
    """What was written, and what became of the graph.

    Attributes:
        source, target: the two files.
        size: of either, in bytes.
        report: how far they are apart on the calibration inputs; None without any.
    """

    source: str
    target: str
    size: tuple[int, int]
    report: QuantizationReport | None = None

    def parts(self) -> Sequence[Part]:
        """The files, and the report."""
        before, after = self.size
        files = f"{format_bytes(before)} -> {format_bytes(after)}"
        written = Facts((("file", files),), title=f"{self.source} -> {self.target}")
        return [written, *(self.report.parts() if self.report is not None else ())]


def quantize_file(
    source: StrPath,
    target: StrPath,
    *,
    calibrate: Any = None,
    steps: int | None = None,
    dt: float | None = None,
    **options: Any,
) -> QuantizedFile:
    """Read a graph, make it one of integers, and write it.

    Args:
        source: a ``.t1c`` or ``.nir`` file.
        target: the ``.t1c`` file to write.
        calibrate: as of ``quantize``; the report is made on these inputs too.
        steps: for how many steps to show what stands still.
        dt: seconds in one step, for a ``.nir`` file that does not say it.
        options: as of ``quantize``.

    Raises:
        T1CError: a file is not valid, or no integers say what it holds.
        InputError: the target does not end in ``.t1c``.
        OSError: there is no such file, or it cannot be written.

    Example:
        >>> quantize_file("digits.t1c", "small.t1c", calibrate="digits.npz")  # doctest: +SKIP
    """
    if Path(target).suffix != ".t1c":
        found = f"the suffix {Path(target).suffix!r}"
        raise InputError(Problem(found, ".t1c", "Rename it.", str(target)))
    graph = read_graph(source, dt)
    made = quantize(graph, calibrate=calibrate, steps=steps, **options)
    ir.write(target, made)
    report = None
    if calibrate is not None:
        report = quantization_report(graph, made, calibrate, steps=steps)
    names = os.fspath(source), os.fspath(target)
    return QuantizedFile(*names, (os.path.getsize(source), os.path.getsize(target)), report)
