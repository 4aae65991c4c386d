"""How a network works its nodes, and why, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from t1c.ir.table import html_table

from .geometry import Convolving
from .network import Network
from .scanned import ScannedModule
from .stateful import StatefulModule
from .work import can_fold

COLUMNS = ("nodes", "how", "density", "crossing", "why")


@dataclass(frozen=True)
class Row:
    """How some nodes are worked.

    Attributes:
        nodes: their names.
        how: in a few words.
        density: the share of inputs that were not zero when they were last looked at.
        crossing: the density below which adding up active inputs is faster.
        why: the reason for it.
    """

    nodes: tuple[str, ...]
    how: str
    density: float | None = None
    crossing: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Explanation:
    """What ``GraphExecutor.explain`` returns; printed, it is a table.

    Attributes:
        rows: in the order of work.
        chunk: the steps worked at once in the last run; None before the first.
    """

    rows: tuple[Row, ...]
    chunk: int | None

    def to_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {"chunk": self.chunk, "rows": [vars(row) for row in self.rows]}

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                ", ".join(row.nodes),
                row.how,
                "" if row.density is None else f"{row.density:.1%}",
                "" if row.crossing is None else f"{row.crossing:.1%}",
                row.why,
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        table = [COLUMNS, *self._cells()]
        widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in table
        ]
        lines.insert(1, "  ".join("-" * w for w in widths))
        return "\n".join([*lines, self._chunks()])

    def _repr_html_(self) -> str:
        return html_table(self._chunks(), COLUMNS, self._cells())

    def _chunks(self) -> str:
        return "not run yet" if self.chunk is None else f"chunks of {self.chunk} steps"


def explain(network: Network) -> Explanation:
    """How the nodes were worked in the last run, or would be before the first."""
    rows = []
    inside = {name for names in network.blocks.values() for name in names[1:]}
    for stage in network.plan.stages:
        name = stage.names[0]
        module = network.node(name)
        choice = network.choices.get(name)
        if name in inside:
            continue
        block = network.blocks.get(name, ())
        if block and choice is not None:
            how = "by active inputs" if choice.way == "events" else "behind a dense convolution"
            words = f"{len(block)} nodes as one kernel, {how}"
            rows.append(Row(block, words, choice.density, choice.crossing, choice.reason))
        elif block and any(nodes.names == block for nodes in network.stretches.values()):
            words = f"{len(block)} nodes, all steps in one generated loop"
            rows.append(Row(block, words, why="no element meets another"))
        elif block and isinstance(module, Convolving):
            words = f"{len(block)} nodes as one kernel, behind a convolution worked once"
            rows.append(Row(block, words, why="the same input at every step"))
        elif block:
            words = f"{len(block)} nodes step by step in one kernel"
            looping = network.plan.looping.intersection(block)
            why = "a loop, and few neurons around it" if looping else "little to do for a call"
            rows.append(Row(block, words, why=why))
        elif stage.loop:
            rows.append(_loop(network, stage.names))
        elif choice is not None:
            way = _AFFINE[choice.way]
            rows.append(Row((name,), way, choice.density, choice.crossing, choice.reason))
        else:
            rows.append(Row((name,), _way(module)))
    return Explanation(tuple(rows), network.last_chunk)


_AFFINE = {
    "events": "adds up active inputs",
    "dense": "dense, a chunk at once",
    "rows": "dense, a chunk at once, reading weights once",
}


def _loop(network: Network, names: tuple[str, ...]) -> Row:
    if any(p is not None and p.names == names for p in network.programs.values()):
        return Row(names, "loop, step by step in one kernel")
    if names[0] in network.parts:
        words = f"loop, step by step in {network.parts[names[0]]} parts"
        return Row(names, words, why="a node that no instruction serves")
    return Row(names, "loop, step by step", why="gradients, or a node that no instruction serves")


def _way(module: nn.Module) -> str:
    if isinstance(module, ScannedModule):
        return "scan over a chunk in one kernel"
    if isinstance(module, StatefulModule):
        return "a chunk at once, with its state"
    if isinstance(module, nn.Identity):
        return "passes on"
    return "a chunk at once" if can_fold(module) else "step by step: a module of your own"
