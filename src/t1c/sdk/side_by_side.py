"""What two networks cost, side by side: ``t1c compare``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from t1c import ir, nir
from t1c.nir import GraphSource

from .measure import FLOAT32_45NM, EnergyTable, analyze_graph, profile_graph
from .numbers import format_bytes, format_joules, format_number
from .report import Facts, Part, Report, Table
from .runner import DType


@dataclass(frozen=True)
class Figure:
    """One figure of two networks.

    Attributes:
        name: what it counts.
        a, b: of either network.
        unit: 'bytes', 'J', or empty for a count.
    """

    name: str
    a: float
    b: float
    unit: str = ""

    @property
    def change(self) -> float | None:
        """From a to b, as a share of a; None where a has none."""
        return (self.b - self.a) / self.a if self.a else None


@dataclass(frozen=True, repr=False)
class FigureComparison(Report):
    """The figures of two networks.

    Attributes:
        a, b: what they are: a path, or 'graph'.
        samples: on how many samples they were run; None if they were not.
        figures: what was counted.
    """

    a: str
    b: str
    samples: int | None
    figures: tuple[Figure, ...]

    def to_dict(self) -> dict[str, Any]:
        """The attributes; each figure has its ``change`` too."""
        plain = super().to_dict()
        for entry, figure in zip(plain["figures"], self.figures, strict=True):
            entry["change"] = figure.change
        return plain

    def parts(self) -> list[Part]:
        """What is compared, and a row for each figure."""
        pairs = [("a", self.a), ("b", self.b)]
        if self.samples is not None:
            per = "spikes and what follows are per sample, energy is an estimate"
            pairs.append(("run on", f"{self.samples:,} samples; {per}"))
        rows = tuple((f.name, _shown(f, f.a), _shown(f, f.b), _change(f)) for f in self.figures)
        columns = ("", "a", "b", "change")
        return [Facts(tuple(pairs)), Table(columns, rows, right=columns[1:])]


def compare_costs(
    a: GraphSource,
    b: GraphSource,
    inputs: Any = None,
    *,
    steps: int | None = None,
    dt: float | None = None,
    batch_size: int = 256,
    dtype: DType = "float32",
    energy: EnergyTable = FLOAT32_45NM,
) -> FigureComparison:
    """What two networks cost, side by side; with inputs, what they do on them too.

    Args:
        a: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        b: the other.
        inputs: what to run both on, as of ``profile_graph``; if None, nothing is run, and no torch
            is needed.
        steps: for how many steps to show what stands still.
        dt: seconds in one step, for ``.nir`` files that do not say it; None: as the other graph
            records it.
        batch_size: how many samples at once.
        dtype: of the arithmetic.
        energy: how much an operation takes.

    Raises:
        T1CError: a graph or the inputs are not valid, they do not fit, or torch is missing.
        OSError: there is no such file.

    Example:
        >>> nodes = {"in": ir.Input((2,)), "out": ir.Output((2,))}
        >>> graph = ir.Graph(nodes, [("in", "out")])
        >>> compare_costs(graph, graph).figures[0]
        Figure(name='nodes', a=2, b=2, unit='')
    """
    dt = nir.counterpart_dt(a, b, dt)
    graphs = [nir.read_graph(source, dt) for source in (a, b)]
    costs = [dict(_costs(graph)) for graph in graphs]
    samples = None
    if inputs is not None:
        for graph, found in zip(graphs, costs, strict=True):
            measured = profile_graph(
                graph, inputs, steps=steps, batch_size=batch_size, dtype=dtype, energy=energy
            ).measured
            assert measured is not None
            samples = measured.samples
            found |= {
                ("spikes", ""): measured.spikes,
                ("effective MACs", ""): measured.effective_macs,
                ("effective ACs", ""): measured.effective_acs,
                ("energy", "J"): measured.energy.effective,
            }
    first, second = costs
    figures = [Figure(name, x, second[name, unit], unit) for (name, unit), x in first.items()]
    return FigureComparison(_name(a), _name(b), samples, tuple(figures))


def _costs(graph: ir.Graph) -> Iterator[tuple[tuple[str, str], float]]:
    found = analyze_graph(graph)
    yield ("nodes", ""), len(found.nodes)
    yield ("edges", ""), found.edges
    yield ("edges that run back", ""), len(found.feedback)
    yield ("parameters", ""), found.parameters
    yield ("parameters, stored", "bytes"), found.bytes
    yield ("MACs per step, dense", ""), found.macs
    yield ("state per sample", ""), found.state
    yield ("depth", ""), found.depth
    yield ("width", ""), found.width


def _name(source: GraphSource) -> str:
    return "graph" if isinstance(source, ir.Graph) else os.fspath(source)


def _shown(figure: Figure, value: float) -> str:
    formats = {"bytes": format_bytes, "J": format_joules}
    if figure.unit in formats:
        return formats[figure.unit](value)
    return f"{value:,}" if isinstance(value, int) else format_number(value, 4)


def _change(figure: Figure) -> str:
    if figure.change is None:
        return "" if figure.a == figure.b else "new"
    return "" if figure.a == figure.b else f"{100 * figure.change:+.1f} %"
