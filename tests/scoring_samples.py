"""A small network, samples for it, and shards of every kind that hold them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from t1c import ir

from .engine_helpers import grid, lif
from .strategies_executor import chain

SHAPE = (3, 4)
CLASSES = 5
STEPS = 6


def network(seed: int = 0) -> ir.Graph:
    """Weights on a grid, so that every sum is exact."""
    rng = np.random.default_rng(seed)
    return chain(
        ("input", ir.Input(SHAPE)),
        ("flatten", ir.Flatten()),
        ("fc1", ir.Affine(grid(rng, 16, 12), grid(rng, 16))),
        ("lif1", lif()),
        ("fc2", ir.Affine(grid(rng, CLASSES, 16), grid(rng, CLASSES))),
        ("lif2", lif()),
        ("output", ir.Output((CLASSES,))),
    )


def samples(count: int, steps: int | None = STEPS, seed: int = 1) -> tuple[Any, Any]:
    """(T, N, *SHAPE) on the grid, or (N, *SHAPE) without steps; and labels (N,)."""
    rng = np.random.default_rng(seed)
    lead = (count,) if steps is None else (steps, count)
    x = (rng.integers(0, 256, (*lead, *SHAPE)) / 256).astype(np.float32)
    return x, rng.integers(0, CLASSES, count)


def counts(graph: ir.Graph, xs: Any) -> Any:
    """What the reference interpreter counts at the output, in float64: (N, CLASSES)."""
    outputs, _ = ir.Reference(graph).run(np.asarray(xs, np.float64))
    return np.asarray(outputs).sum(0)


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    """An archive of files by name, in their order."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))


def npy(array: Any) -> bytes:
    """An array as ``np.save`` writes it."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def tarred(x: Any, y: Any, kind: str = "npy") -> dict[str, bytes]:
    """Samples (T, N, *SHAPE), or (N, *SHAPE), as the files of a WebDataset."""
    moving = x.ndim == len(SHAPE) + 2
    files = {}
    for number, label in enumerate(y):
        files[f"a/{number:04}.{kind}"] = npy(x[:, number] if moving else x[number])
        files[f"a/{number:04}.cls"] = str(label).encode()
        files[f"a/{number:04}.txt"] = b"not read"
    return files
