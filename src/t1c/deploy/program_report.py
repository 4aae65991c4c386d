"""What is said of a program that was written for a runtime: ONNX's or torch's."""

from __future__ import annotations

from dataclasses import dataclass

from t1c.sdk.report import Facts, Part, Report

from .ports import Port


@dataclass(frozen=True, repr=False)
class ProgramReport(Report):
    """What was written.

    Attributes:
        file: the path as it was given.
        kind: 'step' or 'sequence'.
        inputs: without states, in the graph's order.
        outputs: without states, in the graph's order.
        states: which go in and come out.
        operators: how many the program holds, those in a loop counted once.
        bytes: of the file.
    """

    file: str
    kind: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[Port, ...]
    operators: int
    bytes: int

    def language(self) -> str:
        """Which runtime reads it, as it stands behind 'one step'."""
        raise NotImplementedError(f"{type(self).__name__} has no language")

    def parts(self) -> list[Part]:
        """The file, and what goes in and out."""
        told: list[tuple[str, str]] = []
        for word, ports in (("in", self.inputs), ("out", self.outputs), ("state", self.states)):
            told += [(word, f"{p.name} ({', '.join(map(str, p.shape))})") for p in ports]
        what = "one step" if self.kind == "step" else "a sequence"
        size = f"{self.operators} operators, {self.bytes:,} bytes"
        return [f"{self.file}: {what} {self.language()}, {size}", Facts(tuple(told))]
