"""A run of a network on one sample as a figure in a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from t1c import ir, nir
from t1c.ir.atomic import replacing
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.nir import GraphSource
from t1c.sdk.measure.activity import watched
from t1c.sdk.measure.neurons import fires
from t1c.sdk.record import record

from .arrays import new_grid
from .membranes import plot_membranes
from .raster import plot_raster
from .rates import plot_rates

Kind = Literal["raster", "membranes", "rates"]


def draw_run(
    source: GraphSource,
    inputs: Any,
    path: str | os.PathLike[str],
    nodes: Sequence[str] | None = None,
    *,
    kind: Kind = "raster",
    sample: int = 0,
    steps: int | None = None,
    dt: float | None = None,
) -> Path:
    """Run a network on one sample, and draw what its neurons did.

    Args:
        source: a graph, or a path of a ``.t1c`` or ``.nir`` file.
        inputs: what to run it on; see ``t1c.sdk.record``.
        path: the file to write: ``.png``, ``.svg`` or ``.pdf``. It appears whole or not at all.
        nodes: whose spikes to draw; None: of all spiking nodes. What sends other numbers than
            spikes is drawn as such, on axes of its own.
        kind: 'raster': a mark for each spike, and lines for the first five values of nodes that
            send no spikes; 'membranes': the potentials of the first five neurons of each node,
            with their spikes; 'rates': the mean over neurons at each step.
        sample: which of the samples.
        steps: for how many steps to show what stands still.
        dt: seconds in one step, for a ``.nir`` file that does not say it, and for a recording.

    Returns:
        The path.

    Raises:
        InputError: there is no such node or sample, or a node has no membrane.
        UnsupportedError: torch or matplotlib is not installed.

    Example:
        >>> draw_run("model.t1c", "digits.npz", "spikes.png", ["lif2", "lif3"])  # doctest: +SKIP
    """
    if kind not in ("raster", "membranes", "rates"):
        raise InputError(Problem(f"kind={kind!r}", "raster, membranes or rates", field="kind"))
    target = Path(path)
    if target.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(
            Problem(f"the suffix {target.suffix!r}", ".png, .svg or .pdf", "Rename it.", str(path))
        )
    graph = nir.read_graph(source, dt)
    options: dict[str, Any] = {"sample": sample, "steps": steps, "dt": dt}
    names = list(nodes) if nodes is not None else [name for name, _ in watched(graph)]
    if not names:
        raise InputError(
            Problem("a network without spiking nodes", "one", "Name what to draw (nodes=...).")
        )
    asked = [*names, *(f"{name}.v" for name in names if kind == "membranes")]
    found = record(graph, inputs, asked, **options)
    spikes = {name: found[name] for name in names}
    if kind == "membranes":
        axes = new_grid(len(spikes), 1, (8, 2.6 * len(spikes)))[:, 0]
        for ax, (name, each) in zip(axes, spikes.items(), strict=True):
            level = _threshold(graph, name, each)
            plot_membranes(found[f"{name}.v"], ax, spikes=each, threshold=level, title=name)
    else:
        axes = _drawn(kind, graph, spikes, f"{_name(source)}, sample {sample}")
    figure = axes[0].figure
    with replacing(target) as temporary:
        figure.savefig(temporary, format=target.suffix[1:].lower(), dpi=120)
    figure.clear()
    return target


def _drawn(kind: Kind, graph: ir.Graph, sent: dict[str, Array], title: str) -> Array:
    """Spikes on one pair of axes, values on others below, and the axes from top to bottom."""
    firing = {name for name, node in watched(graph) if fires(node)}
    spikes = {name: y for name, y in sent.items() if name in firing or _only_ones(y)}
    values = {name: y for name, y in sent.items() if name not in spikes}
    # Values of one kind share axes only as rates: their means are one curve each.
    below = [values] if kind == "rates" and values else [{n: y} for n, y in values.items()]
    count = bool(spikes) + len(below)
    axes: Array = new_grid(count, 1, (8, 5 if count == 1 else 2 + 2.6 * count))[:, 0]
    if spikes:
        (plot_raster if kind == "raster" else plot_rates)(spikes, axes[0])
    for ax, each in zip(axes[bool(spikes) :], below, strict=True):
        if kind == "rates":
            plot_rates(each, ax, label="mean value")
        else:
            plot_membranes(each, ax, label="value")
    axes[0].set_title(title)
    return axes


def _only_ones(values: Array) -> bool:
    """Whether a node passes spikes on, as a pool does: it sends 0 and 1, and not 0 alone."""
    return bool(values.any() and np.isin(values, (0, 1)).all())


def _name(source: GraphSource) -> str:
    """What a network is called in a title: its file's name."""
    return Path(source).name if isinstance(source, str | os.PathLike) else "a graph"


def _threshold(graph: ir.Graph, name: str, spikes: Array) -> Array | None:
    """The threshold of a neuron, if it has one for all, or one for each of its values."""
    level = getattr(graph.flat().nodes.get(name), "v_threshold", None)
    if level is None or level.size not in (1, spikes[0, 0].size):
        return None
    found: Array = level
    return found
