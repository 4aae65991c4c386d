"""What hidden nodes do while a network runs on one sample: for plots and playback."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from t1c import nir
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.nir import GraphSource

from .measure.activity import watched
from .recordings import read_data
from .runner import DType, import_bridge, import_torch
from .samples import Samples, as_samples


def record(
    source: GraphSource,
    inputs: Any,
    names: Sequence[str] | None = None,
    *,
    sample: int = 0,
    steps: int | None = None,
    dt: float | None = None,
    dtype: DType = "float32",
) -> dict[str, Array]:
    """Run a network on one sample and return what hidden nodes did.

    Args:
        source: a graph, or a path of a ``.t1c`` or ``.nir`` file.
        inputs: what ``as_samples`` takes, or the path of a recording of events.
        names: what to record, as of ``executor.run(record=...)``: "lif1" is what the node sends,
            "lif1.v" its membrane after each step. None: what every spiking node sends.
        sample: which of the samples.
        steps: for how many steps to show what stands still; see ``read_samples``.
        dt: seconds in one step, for a ``.nir`` file that does not say it, and for a recording.
        dtype: of the arithmetic.

    Returns:
        Name -> (T, 1, *features).

    Raises:
        InputError: there is nothing of such a name, or no such sample.
        UnsupportedError: torch cannot be imported.

    Example:
        >>> record("model.t1c", "digits.npz", ["lif1", "lif1.v"])  # doctest: +SKIP
    """
    torch, bridge = import_torch(), import_bridge()
    graph = nir.read_graph(source, dt)
    if isinstance(inputs, str | os.PathLike):
        samples = read_data(inputs, graph, steps=steps, dt=dt)
    else:
        samples = as_samples(inputs, graph, steps=steps)
    if not 0 <= sample < samples.count:
        raise InputError(
            Problem(f"sample={sample}", f"one from 0 to {samples.count - 1}", field="sample")
        )
    chosen = [name for name, _ in watched(graph)] if names is None else list(names)
    kind = getattr(torch, dtype)
    executor = bridge.ir_to_torch(graph, dtype=kind)
    with torch.no_grad():
        xs = {n: torch.from_numpy(x).to(kind) for n, x in _one(samples, sample).items()}
        _, _, found = executor.run(xs, record=chosen)
    return {name: value.float().numpy() for name, value in found.items()}


def _one(samples: Samples, sample: int) -> dict[str, Array]:
    """The inputs (T, 1, ...) of one sample."""
    return {
        name: np.array(array[:, sample : sample + 1], np.float64)
        for name, array in samples.inputs.items()
    }
