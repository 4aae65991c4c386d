"""The figure: how much longer (or larger) than t1c everything else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from .table import number, quantity

Record = dict[str, Any]
OURS, PEER, FLOOR, INK, FAINT = "#0b6e4f", "#7d93b2", "#d9a441", "#222222", "#dddddd"

TICKS = [base * 10.0**power for power in range(-3, 5) for base in (1, 2, 5)]


def draw(records: list[Record], path: Path) -> None:
    """Writes an SVG with a group of bars for each row that has something to compare with."""
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "t1c", "font.size": 8})
    shown = [r for r in records if len(_bars(r)) > 1]
    lines = sum(len(_bars(r)) + 1.6 for r in shown)
    figure = Figure(figsize=(8, 0.2 * lines + 0.6), facecolor="white")
    axes = figure.add_axes((0.2, 0.5 / (0.2 * lines + 0.6), 0.6, 1 - 0.6 / (0.2 * lines + 0.6)))
    y, names, places, reached = 0.0, [], [], [1.0]
    for record in shown:
        axes.text(
            0.0, y + 0.1, record["title"], weight="bold", color=INK,
            transform=axes.get_yaxis_transform(), zorder=3,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
        y += 1
        for name, own in _bars(record):
            _bar(axes, y, name, own, record["unit"])
            needed = _needed(record, name)
            if needed:
                axes.plot([needed], [y], "D", color=INK, markerfacecolor="white", markersize=4)
                reached.append(needed)
            names.append(name)
            places.append(y)
            y += 1
        y += 0.6
    axes.axvline(1, color=OURS, linewidth=1)
    axes.set_yticks(places, names)
    axes.set_ylim(y, -0.6)
    axes.set_xscale("log")
    ends = [own["ratio"][q] for r in shown for _, own in _bars(r) for q in ("q1", "q3")]
    axes.set_xlim(0.8 * min(*ends, *reached), 1.25 * max(*ends, *reached))
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.set_xlabel(
        "times what t1c needs: median of the rounds; lines: quartiles; diamonds: to be reached"
    )
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)


def _bars(record: Record) -> list[tuple[str, Record]]:
    """The candidates that were measured, the fastest first."""
    measured = [(name, own) for name, own in record["candidates"].items() if "ratio" in own]
    return sorted(measured, key=lambda one: one[1]["ratio"]["median"])


def _needed(record: Record, name: str) -> float | None:
    """The ratio at which the target against a candidate is reached."""
    for target in record["targets"]:
        if target.get("best") == name:
            return 1 / target["reach"] if target["most"] else target["reach"]
    return None


def _bar(axes: Any, y: float, name: str, own: Record, unit: str) -> None:
    ratio = own["ratio"]
    color = {"t1c": OURS, "floor": FLOOR}.get(name.split(",")[0], PEER)
    left, right = sorted((1.0, ratio["median"]))
    if right / left < 1.01:
        axes.plot([1], [y], "|", color=color, markersize=9, markeredgewidth=3)
    else:
        axes.barh(y, right - left, left=left, height=0.72, color=color)
        axes.plot([ratio["q1"], ratio["q3"]], [y, y], color=INK, linewidth=0.8)
    across = axes.get_yaxis_transform()
    if name != "t1c":
        times = f"{number(ratio['median'])} ×"
        axes.text(1.11, y, times, va="center", ha="right", color=INK, transform=across)
    needs = quantity(own["median"], unit)
    axes.text(1.25, y, needs, va="center", ha="right", color=INK, transform=across)
