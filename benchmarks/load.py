"""Graphs of many nodes and files of many bytes: what it takes to open them.

`make load` runs this. Each figure is the least processor time of a few fresh processes, which take
turns, so that what else the machine does counts little. The tables go into docs/reliability.md, the
plot into docs/img/load.svg.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pages import put_into

COMMAND = "python benchmarks/load.py"
WORKER = Path(__file__).with_name("load_worker.py")
PLOT = Path(__file__).resolve().parent.parent / "docs" / "img" / "load.svg"
COUNTS = (1000, 2000, 5000, 10_000)
SIZES = tuple(2**k for k in range(26, 31))
PACKAGES = ("t1c", "talon")
STAGES = ("write", "read", "import", "first step")
WAYS = ("bytes", "read", "load", "map")
Figures = dict[tuple[str, int], dict[str, float]]


def measured(*arguments: str) -> dict[str, float]:
    """What a worker says."""
    call = [sys.executable, str(WORKER), *arguments]
    told = subprocess.run(call, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(told.stdout or "{}")
    return found


def least(known: dict[str, float], new: dict[str, float]) -> dict[str, float]:
    """The less of each figure."""
    return {name: min(value, known.get(name, value)) for name, value in new.items()}


def of_nodes(folder: str, times: int) -> Figures:
    """By package and number of nodes."""
    found: Figures = {}
    for count in COUNTS:
        for _ in range(times):
            for package in PACKAGES:
                new = measured("nodes", package, str(count), f"{folder}/{package}.t1c")
                found[package, count] = least(found.get((package, count), {}), new)
                say(package, count, new)
    return found


def of_bytes(folder: str, times: int) -> Figures:
    """By way of opening and size of the file."""
    found: Figures = {}
    for size in SIZES:
        path = f"{folder}/{size}.t1c"
        measured("make", str(size), path)
        for _ in range(times):
            for way in WAYS:
                new = measured("bytes", way, path)
                found[way, size] = least(found.get((way, size), {}), new)
                say(way, size, new)
        Path(path).unlink()
    return found


def say(what: str, size: int, found: dict[str, float]) -> None:
    """Show a measurement as it is made."""
    told = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
    sys.stdout.write(f"{what} {size:,}: {told}\n")
    sys.stdout.flush()


def table(head: Sequence[str], rows: list[list[str]]) -> str:
    """In Markdown, numbers to the right."""
    lines = [f"| {' | '.join(head)} |", "| ---: " * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def nodes_table(found: Figures) -> str:
    """Seconds for each stage, ours beside the predecessor's."""
    rows = []
    for count in COUNTS:
        ours, theirs = found["t1c", count], found["talon", count]
        rows.append([f"{count:,}", *(f"{ours[s]:.2f} ({theirs[s]:.2f})" for s in STAGES)])
    return table(["nodes", *STAGES], rows)


def bytes_table(found: Figures) -> str:
    """Seconds for each way to open a file, and how many times its size it then takes."""
    rows = []
    for size in SIZES:
        row = [f"{size / 2**20:,.0f} MiB"]
        base = found["bytes", size]["seconds"]
        for way in WAYS:
            of = found[way, size]
            ratio = "" if way == "bytes" else f" ({of['seconds'] / base:.2f}x)"
            row.append(f"{of['seconds']:.3f}{ratio}")
        row.insert(3, f"{found['read', size]['import']:.3f}")
        row += [f"{found[way, size]['memory'] / size:.2f}" for way in ("read", "load")]
        rows.append(row)
    head = ["weights", "reading the bytes", "`ir.read`", "then `ir_to_torch`", "`load`"]
    head += ["mapped and imported", "memory, read and imported", "memory, loaded"]
    return table(head, rows)


def plot(nodes: Figures, sizes: Figures) -> None:
    """Both, over what they should be linear in."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "t1c", "font.size": 9}
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    for stage in STAGES:
        left.plot(COUNTS, [nodes["t1c", n][stage] for n in COUNTS], marker="o", label=stage)
    left.set(xlabel="nodes", ylabel="seconds of processor time")
    names = {"bytes": "the bytes alone", "read": "ir.read", "load": "load", "map": "mapped"}
    gigabytes = [size / 2**30 for size in SIZES]
    for way in WAYS:
        style: Any = "--" if way == "bytes" else "-"
        seconds = [sizes[way, size]["seconds"] for size in SIZES]
        right.plot(gigabytes, seconds, style, marker="o", label=names[way])
    right.set(xlabel="GiB of weights")
    for axes in (left, right):
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> None:
    """Measures, prints, and puts the tables and the plot where they belong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often each thing is measured")
    parser.add_argument("--page", help="a page whose tables are replaced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        nodes, sizes = of_nodes(folder, options.times), of_bytes(folder, options.times)
    text = f"{nodes_table(nodes)}\n{bytes_table(sizes)}"
    sys.stdout.write(text)
    if options.page:
        put_into(Path(options.page), text, COMMAND)
        plot(nodes, sizes)


if __name__ == "__main__":
    main()
