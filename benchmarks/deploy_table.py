"""The same spikes everywhere: networks deployed in every way, beside the reference.

`make deploy` runs this. Each network is run by the reference interpreter in float32, and by every
target from the same inputs; every number of every output at every step is compared. The table goes
into docs/deploy.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from deployed import networks, sizes, targets
from deployed.sample import Sample
from pages import put_into

from t1c.ir.errors import UnsupportedError

COMMAND = "python benchmarks/deploy_table.py"

TARGETS: dict[str, targets.Target | None] = {
    "executor": targets.executor,
    "C": targets.c_for("gcc"),
    "C, ARM": targets.c_for("arm-linux-gnueabihf-gcc", "qemu-arm", flags=("-static",)),
    "C, RISC-V": targets.c_for("riscv64-linux-gnu-gcc", "qemu-riscv64", flags=("-static",)),
    "WebAssembly": targets.wasm if all(map(shutil.which, ("clang", "wasm-ld", "node"))) else None,
    "ONNX": targets.onnx_step,
    "torch program": targets.exported_step,
}


def main() -> None:
    """Compares, prints, and fails where a number differs that must not."""
    options = _options()
    rows, wrong = [], 0
    for title, samples in _networks(options.random):
        row = Row(title)
        for sample in samples:
            row.add(sample)
        wrong += row.wrong
        rows.append(row)
        sys.stdout.write(row.line() + "\n")
        sys.stdout.flush()
    text = table(rows) + "\n" + sizes.table(networks.demo(1).graph, networks.demo_in_integers())
    sys.stdout.write("\n" + text)
    if options.page:
        put_into(Path(options.page), text, COMMAND)
    if wrong:
        sys.exit(f"{wrong} numbers differ that must not")


class Row:
    """What came of one network, or of several under one title.

    Args:
        title: of the row.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.networks = self.steps = self.spikes = self.values = self.wrong = 0
        self.differing: dict[str, int] = {}
        self.rounded: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def add(self, sample: Sample) -> None:
        """Run a sample everywhere."""
        self.networks += 1
        self.steps += sample.steps * sample.batch
        self.values += sum(y.size for y in sample.expected.values())
        self.spikes += sum(int(np.count_nonzero(y)) for y in sample.expected.values())
        for name, target in TARGETS.items():
            if target is None:
                continue
            folder = Path(tempfile.mkdtemp())
            try:
                found = target(sample, folder)
            except UnsupportedError:
                self.refused[name] = self.refused.get(name, 0) + 1
                continue
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            apart = rounded = 0
            for output, expected in sample.expected.items():
                near = np.isclose(found[output], expected, rtol=1e-5, atol=1e-5, equal_nan=True)
                same = (found[output] == expected) | np.isnan(found[output]) & np.isnan(expected)
                apart += int((~near).sum())
                rounded += int((near & ~same).sum())
            self.differing[name] = self.differing.get(name, 0) + apart
            self.rounded[name] = self.rounded.get(name, 0) + rounded
            self.wrong += apart + rounded if sample.exact else 0

    def cell(self, name: str) -> str:
        """Of one target: how many numbers differ, and how many networks it refused."""
        if TARGETS[name] is None:
            return "not installed"
        refused = self.refused.get(name, 0)
        told = str(self.differing[name]) if name in self.differing else ""
        if rounded := self.rounded.get(name):
            told += f" ({rounded} by rounding)"
        return ", ".join(filter(None, [told, f"{refused} refused" if refused else ""]))

    def line(self) -> str:
        """For the terminal."""
        cells = [f"{name} {self.cell(name)}" for name in TARGETS]
        return f"{self.title}: {self.spikes} of {self.values} not 0; differing: {'; '.join(cells)}"


def table(rows: list[Row]) -> str:
    """How many of the outputs' numbers differ from the reference's."""
    head = ["network", "steps", "numbers", "of which not 0", *TARGETS]
    lines = [f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
    for row in rows:
        cells = [f"{row.steps:,}", f"{row.values:,}", f"{row.spikes:,}"]
        lines.append(f"| {' | '.join([row.title, *cells, *map(row.cell, TARGETS)])} |")
    return "\n".join(lines) + "\n"


def _networks(random: int) -> Iterator[tuple[str, Iterator[Sample]]]:
    yield "digits", iter([networks.demo()])
    yield "digits in integers", iter([networks.demo_in_integers()])
    yield "recurrent, with delays", iter([networks.recurrent()])
    yield "Spikformer's block", iter([networks.attention()])
    yield f"{random} random graphs", networks.random_graphs(random)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=50, help="how many random graphs")
    parser.add_argument("--page", help="a page whose tables are replaced")
    return parser.parse_args()


if __name__ == "__main__":
    main()
