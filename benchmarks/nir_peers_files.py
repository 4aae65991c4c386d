"""Files of the kind that the peers write themselves, for a fair table.

The files of tests/data/nir give every neuron parameters of its own, as NIR does, and
some importers take only populations of equal neurons, or have a step of 1e-4 s built in.
These files meet both: one population of equal neurons, reset to zero, r and w_in as the
peers' own exporters write them. What is right is computed here, from NIR's equations.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

STEPS, BATCH, SIZE = 40, 3, 5

FILES: dict[str, tuple[str, float, dict[str, float]]] = {
    "uniform_lif": ("LIF", 1e-4, {"tau": 2.5e-3, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.15}),
    "uniform_if": ("IF", 1.0, {"r": 1.0, "v_threshold": 1.6}),
    "uniform_cubalif": (
        "CubaLIF",
        1e-4,
        {
            "tau_syn": 1e-3,
            "tau_mem": 2e-3,
            "r": 20.0,
            "w_in": 10.0,
            "v_leak": 0.0,
            "v_threshold": 12.0,
        },
    ),
}
"""Primitive, dt and parameters of each file."""


def write(folder: Path) -> None:
    """Writes the files, and beside each its input and right output."""
    nir = importlib.import_module("nir")
    rng = np.random.default_rng(3)
    for name, (primitive, dt, parameters) in FILES.items():
        arrays = {key: np.full(SIZE, value, np.float32) for key, value in parameters.items()}
        arrays["v_reset"] = np.zeros(SIZE, np.float32)
        node = getattr(nir, primitive)(**arrays)
        nir.write(folder / f"{name}.nir", nir.NIRGraph.from_list(node))
        x = rng.random((STEPS, BATCH, SIZE), np.float32)
        y, alt = right(parameters, dt, x), right(parameters, dt, x, subtract=True)
        np.savez(folder / f"{name}.npz", **{"x": x, "y": y, "alt:subtract": alt}, dt=dt)


def right(parameters: dict[str, float], dt: float, x: Any, subtract: bool = False) -> Any:
    """The spikes of equal neurons: forward Euler, > and a reset to 0 in the same step.

    With `subtract`, what a reader gives that takes the threshold off instead.
    """
    p = parameters
    v, i = np.zeros(x.shape[1:]), np.zeros(x.shape[1:])
    spikes = np.zeros(x.shape)
    for t, drive in enumerate(x.astype(np.float64)):
        if "tau_syn" in p:
            i = i + dt / p["tau_syn"] * (p["w_in"] * drive - i)
            v = v + dt / p["tau_mem"] * (p["v_leak"] - v + p["r"] * i)
        elif "tau" in p:
            v = v + dt / p["tau"] * (p["v_leak"] - v + p["r"] * drive)
        else:
            v = v + dt * p["r"] * drive
        # Far enough for float32: no peer differs by rounding alone.
        assert np.abs(v - p["v_threshold"]).min() > 1e-5 * p["v_threshold"]
        spikes[t] = v > p["v_threshold"]
        v = np.where(spikes[t] > 0, v - p["v_threshold"] if subtract else 0.0, v)
    return spikes
