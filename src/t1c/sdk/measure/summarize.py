"""A network in a few lines, for whoever was handed a file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from t1c.nir import GraphSource

from ..numbers import format_bytes, format_number, format_seconds
from ..report import Part, Report
from .analyze import GraphAnalysis, NodeAnalysis, analyze_graph

MOST_KINDS = 6
"""Populations that are told one by one; others are counted."""


@dataclass(frozen=True, repr=False)
class Summary(Report):
    """A network in a few lines.

    Attributes:
        lines: what comes in and leaves, of what it is made, what its neurons are set to, and what
            a step costs.
    """

    lines: tuple[str, ...]

    def parts(self) -> Sequence[Part]:
        """The lines."""
        return ["\n".join(self.lines)]


def summarize(
    source: GraphSource, *, dt: float | None = None, allow_nonfinite: bool = False
) -> Summary:
    """A network in a few lines.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        dt: as of ``analyze_graph``.
        allow_nonfinite: accept NaN and infinite parameters.

    Raises:
        T1CError: the source is not valid.
        OSError: there is no such file.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((4,), hold=25),
        ...      "fc": ir.Affine(np.ones((3, 4)), np.zeros(3)),
        ...      "lif": ir.LIF(*map(np.array, (8.0, 8.0, 0.0, 1.0))),
        ...      "out": ir.Output((3,))},
        ...     [("in", "fc"), ("fc", "lif"), ("lif", "out")],
        ... )
        >>> print(summarize(graph, dt=1e-4))
        Takes (4,), held for 25 steps; gives (3,) at every step of 100 µs.
        4 nodes: Affine, LIF; depth 2; nothing runs back in time.
        lif (3): LIF, tau 8 steps (800 µs), v_threshold 1, r 8, v_leak 0, reset to zero.
        19 parameters (152 B); per step and sample 12 multiply-accumulates, 3 numbers of state.
    """
    analysis = analyze_graph(source, dt=dt, allow_nonfinite=allow_nonfinite)
    return Summary(
        (_borders(analysis), _made_of(analysis), *_populations(analysis), _costs(analysis))
    )


def _borders(analysis: GraphAnalysis) -> str:
    several = {
        kind: sum(node.type.startswith(kind) for node in analysis.nodes) > 1
        for kind in ("Input", "Output")
    }
    takes, gives = [], []
    step = "step" if analysis.dt is None else f"step of {format_seconds(analysis.dt)}"
    for node in analysis.nodes:
        shape = " ".join(map(str, node.output_type.values()))
        word, _, note = node.type.partition(" ")
        named = f"{node.name} {shape}" if several.get(word) else shape
        if word == "Input":
            held = note.removeprefix("(hold=").removesuffix(")")
            takes.append(named + (f", held for {held} steps" if note else ""))
        elif word == "Output":
            when = f"at the last {step}" if note else f"at every {step}"
            gives.append(f"{named} {when}")
    return f"Takes {' and '.join(takes)}; gives {' and '.join(gives)}."


def _made_of(analysis: GraphAnalysis) -> str:
    kinds = Counter(
        node.type for node in analysis.nodes if not node.type.startswith(("Input", "Output"))
    )
    listed = ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in kinds.items())
    back = [f"{a} -> {b}" for a, b in analysis.feedback]
    runs = f"{len(back)} edges run back in time" if len(back) > 3 else ", ".join(back)
    if 0 < len(back) <= 3:
        runs += " runs back in time" if len(back) == 1 else " run back in time"
    count = len(analysis.nodes)
    return (
        f"{count} nodes{': ' * bool(listed)}{listed}; depth {analysis.depth}; "
        f"{runs or 'nothing runs back in time'}."
    )


def _populations(analysis: GraphAnalysis) -> list[str]:
    """One line for each kind of setting, with the nodes that have it."""
    alike: dict[str, list[NodeAnalysis]] = {}
    for node in analysis.neurons().values():
        alike.setdefault(f"{node.type}, {node.neuron.text if node.neuron else ''}", []).append(node)
    lines = []
    for what, nodes in list(alike.items())[:MOST_KINDS]:
        names = ", ".join(node.name for node in nodes[:MOST_KINDS])
        more = f" and {len(nodes) - MOST_KINDS} more" if len(nodes) > MOST_KINDS else ""
        count = sum(math.prod(shape) for node in nodes for shape in node.output_type.values())
        lines.append(f"{names}{more} ({count:,}): {what}.")
    left = list(alike.values())[MOST_KINDS:]
    if left:
        lines.append(f"{sum(map(len, left))} more nodes, set in {len(left)} other ways.")
    return lines


def _costs(analysis: GraphAnalysis) -> str:
    return (
        f"{analysis.parameters:,} parameters ({format_bytes(analysis.bytes)}); per step and sample "
        f"{format_number(analysis.macs)} multiply-accumulates, "
        f"{format_number(analysis.state)} numbers of state."
    )
