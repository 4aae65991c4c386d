"""Membranes over time: a line for each neuron, its threshold, its spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

from .arrays import (
    as_numpy,
    chosen,
    mark_steps,
    new_axes,
    populations,
    steps_and_neurons,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 5
"""Neurons that are drawn where none are named."""


def plot_membranes(
    potentials: Any,
    ax: Axes | None = None,
    *,
    spikes: Any = None,
    threshold: Any = None,
    sample: int = 0,
    neurons: Sequence[int] | slice | None = None,
    dt: float | None = None,
    title: str = "",
    label: str = "membrane potential",
) -> Axes:
    """Draw the potential of some neurons at every step.

    Args:
        potentials: (T, B, *features) as ``executor.run(record=["lif.v"])`` gives them, or (T, N)
            of one sample; or a dict of such by name. With a reset they are those after it.
        ax: where to draw; None: in a new figure.
        spikes: of the same shape: a mark above the line wherever one fired. Of several, a dict by
            the same names, which may lack some.
        threshold: one number, drawn as a dashed line; or one for each of the N neurons. Of several,
            a dict as for ``spikes``.
        sample: which of B.
        neurons: which of each, counted over the flattened features; None: the first five.
        dt: seconds in a step: the axis then shows milliseconds.
        title: above the axes.
        label: what the numbers are.

    Returns:
        The axes.

    Raises:
        InputError: a shape does not fit, or a sample or neuron is not there.
        UnsupportedError: matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> ax = plot_membranes(np.linspace(0, 1, 12).reshape(6, 2), threshold=1.0)
        >>> len(ax.get_lines())
        3
        >>> ax = plot_membranes({"lif1": np.zeros((6, 2)), "lif2": np.ones((6, 1))})
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['lif1 0', 'lif1 1', 'lif2 0']
    """
    named = populations(potentials, sample)
    some = slice(SHOWN) if neurons is None else neurons
    shown = {name: chosen(each, some) for name, each in named.items()}
    fired = {
        name: _fired(_of(spikes, name), each, sample)
        for name, each in named.items()
        if _of(spikes, name) is not None
    }
    limits = {
        name: _thresholds(_of(threshold, name), each.shape[1])
        for name, each in named.items()
        if _of(threshold, name) is not None
    }
    ax = new_axes() if ax is None else ax
    scale = 1 if dt is None else 1000 * dt
    highest = [float(lines.max(initial=0)) for lines, _ in shown.values()]
    top = np.nanmax([*highest, *(float(each.max()) for each in limits.values())])
    index = 0
    for name, (lines, numbers) in shown.items():
        steps = np.arange(len(lines)) * scale
        same = name in limits and bool((limits[name] == limits[name][0]).all())
        for line, number in zip(lines.T, numbers, strict=True):
            colour, dashes = style(index)
            called = f"{name} {number}".strip()
            ax.plot(steps, line, color=colour, linestyle=dashes, linewidth=1.2, label=called)
            if name in fired:
                at = np.flatnonzero(fired[name][:, number])
                height = np.full(len(at), top + (0.06 + 0.04 * index) * (abs(top) or 1))
                ax.scatter(at * scale, height, marker="|", s=40, color=colour)
            if name in limits and not same:
                ax.axhline(limits[name][number], color=colour, linestyle="--", linewidth=0.9)
            index += 1
        if same and len(numbers):
            ax.axhline(limits[name][0], color="0.4", linestyle="--", linewidth=0.9)
    if index > 1:
        heading = "neuron" if list(named) == [""] else "node, neuron"
        ax.legend(title=heading, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    mark_steps(ax, dt)
    ax.set_ylabel(label)
    ax.set_title(title)
    return ax


def _of(given: Any, name: str) -> Any:
    """What is given for one of several, or for the only one; None where nothing is."""
    return given.get(name) if isinstance(given, Mapping) else given


def _fired(spikes: Any, potentials: Array, sample: int) -> Array:
    fired = steps_and_neurons(spikes, sample)
    if fired.shape != potentials.shape:
        raise InputError(
            Problem(
                f"spikes of {fired.shape[1]} neurons at {fired.shape[0]} steps",
                f"{potentials.shape[1]} at {potentials.shape[0]}, as the potentials",
            )
        )
    return fired


def _thresholds(threshold: Any, neurons: int) -> Array:
    """One for each neuron."""
    flat = np.asarray(as_numpy(threshold), np.float64).ravel()
    if flat.size not in (1, neurons):
        raise InputError(
            Problem(f"{flat.size} thresholds for {neurons} neurons", "one, or one for each")
        )
    return np.broadcast_to(flat, (neurons,))
