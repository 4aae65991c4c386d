"""What files of strangers cost: changed ones, counted; tricks by their size; sound ones.

    python benchmarks/hostile.py --cases 100000 --page docs/security.md

The first table counts what became of changed files (tests/attacks/fuzz.py says what passes), the
second gives processor time and memory of refusing each trick of tests/attacks per megabyte of it,
the third what sound files cost beside HDF5's own library, which our reader does without.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import h5py
import numpy as np
from pages import put_into

from t1c import ir
from t1c.ir import h5
from tests.attacks import TRICKS
from tests.attacks.fuzz import cases, keep, table
from tests.hostile_reader import Outcome, outcomes

COMMAND = "make fuzz"
SIZES = (60_000, 1_000_000, 4_000_000)
SHOWN = 6
ROUNDS = 3


def main() -> int:
    """Measure, print, and put the tables into a page; 1 if a changed file did not pass."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000, help="changed files (100000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for changed files that do not pass")
    parser.add_argument("--gigabytes", type=float, default=1, help="of the large sound file (1)")
    parser.add_argument("--page", type=Path, help="a page whose tables are replaced")
    options = parser.parse_args()
    found = cases(options.cases, options.seed)
    failed = [case for case in found if not case.passed]
    parts = [table(found), f"Seed {options.seed}; {len(failed)} failed."]
    with tempfile.TemporaryDirectory() as folder:
        parts += [tricks(Path(folder)), sound(Path(folder), options.gigabytes)]
    text = "\n\n".join(parts) + "\n"
    sys.stdout.write(text)
    if options.page:
        put_into(options.page, text, COMMAND)
    for case in failed:
        sys.stdout.write(f"failed: {case}\n")
    if options.keep:
        keep(failed, options.seed, options.keep)
    return bool(failed)


def tricks(folder: Path) -> str:
    """What it costs to refuse each trick: the dearest, and the bounds that hold for all."""
    rows = []
    for size in SIZES:
        paths = {}
        for name, trick in TRICKS.items():
            for kind in trick.formats:
                path = folder / f"{name}.{kind}"
                path.write_bytes(trick.make(size))
                paths[path] = trick
        for outcome, trick in zip(outcomes(list(paths)), paths.values(), strict=True):
            assert outcome.refused, outcome
            assert trick.says in outcome.message, outcome
            rows.append(Row(outcome, outcome.path.stat().st_size / 1e6, trick.unpacks))
    unpacking = [row for row in rows if row.unpacks]
    others = [row for row in rows if not row.unpacks]
    # What takes a fixed millisecond says nothing of a byte.
    large = [row for row in others if row.size > 0.5]
    fixed = max(row.outcome.seconds for row in others if row.size < 0.1)
    dearest = sorted(large, key=lambda row: -row.seconds)[:SHOWN]
    hungriest = sorted(large, key=lambda row: -row.memory)[:SHOWN]
    shown = [*dearest, *(row for row in hungriest if row not in dearest)]
    lines = ["| trick | MB | s per MB | MB per MB |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {row.outcome.path.name} | {row.size:.1f} | {row.seconds:.2f} | {row.memory:.1f} |"
        for row in shown
    ]
    sizes = ", ".join(f"{size / 1e6:g}" for size in SIZES)
    summary = (
        f"{len(TRICKS)} tricks, each of about {sizes} MB and in both formats: {len(rows)} files, "
        f"all refused for what they are. A file of n MB took at most {fixed:.3f} s and "
        f"{dearest[0].seconds:.2f} s x n of the processor, and {hungriest[0].memory:.1f} MB x n of "
        "memory. What unpacks to as much as a small file may hold took "
        f"{max(row.outcome.seconds for row in unpacking):.2f} s and "
        f"{max(row.outcome.megabytes for row in unpacking):.0f} MB at most."
    )
    return "\n".join([*lines, "", summary])


class Row(NamedTuple):
    """What became of a trick of a size in MB."""

    outcome: Outcome
    size: float
    unpacks: bool

    @property
    def seconds(self) -> float:
        """Of the processor, for each MB."""
        return self.outcome.seconds / self.size

    @property
    def memory(self) -> float:
        """MB for each MB."""
        return self.outcome.megabytes / self.size


def sound(folder: Path, gigabytes: float) -> str:
    """What it costs to read sound files."""
    many, large = folder / "many.t1c", folder / "large.t1c"
    ir.write(many, chain(2000, 4))
    width = 4096
    ir.write(large, chain(max(round(gigabytes * 2**30 / 4 / width**2), 1), width, neurons=False))
    lines = [
        "| file | MB | read its bytes | walk it with h5py | walk it with t1c.ir.h5 | ir.read |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, path in (("2,000 nodes", many), ("few large weights", large)):
        ways: tuple[Callable[[Path], object], ...] = (_bytes, _library, _ours, ir.read)
        times: list[list[float]] = [[] for _ in ways]
        for _ in range(ROUNDS):
            for way, taken in zip(ways, times, strict=True):
                start = time.process_time()
                way(path)
                taken.append(time.process_time() - start)
        cells = [f"{statistics.median(taken):.2f} s" for taken in times]
        lines.append(f"| {name} | {path.stat().st_size / 1e6:,.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def chain(count: int, width: int, neurons: bool = True) -> ir.Graph:
    """So many nodes one behind the other, every other a layer of neurons."""
    rng = np.random.default_rng(0)
    nodes: dict[str, ir.Node] = {"in": ir.Input((width,))}
    for i in range(count):
        if neurons and i % 2:
            values = (np.full(width, value, "f4") for value in (2, 2, 0, 1))
            nodes[f"n{i}"] = ir.LIF(*values)
        else:
            weight = rng.standard_normal((width, width), dtype="f4")
            nodes[f"n{i}"] = ir.Affine(weight, np.zeros(width, "f4"))
    names = [*nodes, "out"]
    return ir.Graph({**nodes, "out": ir.Output((width,))}, list(itertools.pairwise(names)))


def _bytes(path: Path) -> None:
    whole = np.empty(path.stat().st_size, np.uint8)
    with path.open("rb", buffering=0) as file:
        done = 0
        while done < len(whole):
            done += file.readinto(whole[done:].data)


def _library(path: Path) -> None:
    def walk(group: h5py.Group) -> None:
        for item in group.values():
            if isinstance(item, h5py.Group):
                walk(item)
            else:
                item[()]

    with h5py.File(path) as file:
        walk(file)


def _ours(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        file = h5.File(descriptor)
        waiting = [file.root]
        while waiting:
            for link in waiting.pop().links.values():
                item = file.open(link.address, "")
                if isinstance(item, h5.Group):
                    waiting.append(item)
                elif isinstance(item, h5.Dataset):
                    item.texts(2**30) if item.type.is_text else item.numbers()
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
