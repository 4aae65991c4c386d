"""Memory that ``t1c score`` takes for a shard, by its kind and size.

    python benchmarks/score_memory.py [--sizes 40,320] [--page docs/distributed.md]

A process scores a shard of a few samples, which loads and compiles everything, and then the one
that counts: how far its memory rises above what it was between the two, by Linux's own count. `make
scale` runs this. It fails where a shard is not scored whole.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from pages import put_into
from pyarrow import parquet

from t1c import ir

COMMAND = "python benchmarks/score_memory.py"
FEATURES = 1024
GROUP = 1024
"""Rows of a row group, and samples of a chunk: 4 MB."""
FEW = 64

SCORED = """
import sys
from pathlib import Path
from t1c import sdk
def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
def score(inputs, count):
    results = f"{folder}/results-{inputs}"
    report = sdk.score(model, f"{folder}/{inputs}", results, workers=1, steps=4)
    assert report.count("done") == len(report.shards) and report.samples == count, report
model, folder, few, many = sys.argv[1:]
score("few", int(few))
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
score("many", int(many))
print((memory("VmHWM") - before) * 1024)
"""


def main() -> None:
    """Prints a table, and puts it into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="40,320", help="of the shards, in MB")
    parser.add_argument("--page", type=Path, default=None, help="the page that shows it")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    lines = [
        "| shard | " + " | ".join(f"{size} MB" for size in sizes) + " |",
        "|---|" + "---:|" * len(sizes),
    ]
    for kind, write in KINDS.items():
        above = [rise_of(write, size * 10**6 // (4 * FEATURES)) for size in sizes]
        lines.append(f"| {kind} | " + " | ".join(f"{mb:.0f} MB" for mb in above) + " |")
    text = "\n".join(lines)
    sys.stdout.write(text + "\n")
    if options.page:
        put_into(options.page, text + "\n", COMMAND)


def network() -> ir.Graph:
    """One layer and its neurons: little beside what is worked."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, (16, FEATURES)).astype(np.float32)
    nodes = {
        "input": ir.Input((FEATURES,)),
        "fc": ir.Affine(weight, np.zeros(16, np.float32)),
        "lif": ir.LIF(np.full(1, 4.0), np.full(1, 4.0), np.zeros(1), np.ones(1)),
        "output": ir.Output((16,)),
    }
    return ir.Graph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")])


def rise_of(write: Any, count: int) -> float:
    """By how many MB the memory of a process rises that scores a shard of as many samples."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.t1c")
        ir.write(model, network())
        for name, samples in ("few", FEW), ("many", count):
            inputs = Path(folder, name)
            inputs.mkdir()
            write(inputs, np.random.default_rng(1).random((samples, FEATURES), np.float32))
        command = [sys.executable, "-c", SCORED, model, folder, FEW, count]
        ran = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(ran.stderr)
        return int(ran.stdout) / 1e6


def write_npz(folder: Path, x: Any) -> None:
    """All samples as one array."""
    np.savez(folder / "s.npz", x=x)


def write_parquet(rows: int | None) -> Any:
    """A row for each sample, as many in each row group; None: all in one."""

    def write(folder: Path, x: Any) -> None:
        column = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), FEATURES)
        table = pa.table({"x": column})
        parquet.write_table(table, folder / "s.parquet", row_group_size=rows or len(x))

    return write


def write_tar(folder: Path, x: Any) -> None:
    """A file for each sample."""
    with tarfile.open(folder / "s.tar", "w") as archive:
        for number, sample in enumerate(x):
            data = io.BytesIO()
            np.save(data, sample)
            about = tarfile.TarInfo(f"{number:07}.npy")
            about.size = data.tell()
            data.seek(0)
            archive.addfile(about, data)


def write_zarr(folder: Path, x: Any) -> None:
    """A store in chunks of some samples."""
    group = zarr.open_group(folder / "s.zarr", mode="w")
    group.create_array("x", data=x, chunks=(GROUP, FEATURES))


KINDS = {
    "`.npz`": write_npz,
    "`.parquet`, row groups of 4 MB": write_parquet(GROUP),
    "`.parquet`, one row group": write_parquet(None),
    "`.tar`": write_tar,
    "a store of Zarr, chunks of 4 MB": write_zarr,
}

if __name__ == "__main__":
    main()
