"""Membranes over time: a line for each neuron, its threshold, its spikes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from t1c.ir.errors import InputError, Problem

from .arrays import COLOURS, as_numpy, chosen, mark_steps, new_axes, steps_and_neurons

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
) -> Axes:
    """Draw the potential of some neurons at every step.

    Args:
        potentials: (T, B, *features) as ``executor.run(record=["lif.v"])`` gives them, or (T, N)
            of one sample. With a reset they are those after it.
        ax: where to draw; None: in a new figure.
        spikes: of the same shape: a mark above the line wherever one fired.
        threshold: one number, drawn as a dashed line; or one for each of the N neurons.
        sample: which of B.
        neurons: which, counted over the flattened features; None: the first five.
        dt: seconds in a step: the axis then shows milliseconds.
        title: above the axes.

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
    """
    all_of_it = steps_and_neurons(potentials, sample)
    some = slice(SHOWN) if neurons is None else neurons
    shown, numbers = chosen(all_of_it, some)
    fired = None
    if spikes is not None:
        fired = steps_and_neurons(spikes, sample)
        if fired.shape != all_of_it.shape:
            raise InputError(
                Problem(
                    f"spikes of {fired.shape[1]} neurons at {fired.shape[0]} steps",
                    f"{all_of_it.shape[1]} at {all_of_it.shape[0]}, as the potentials",
                )
            )
    ax = new_axes() if ax is None else ax
    scale = 1 if dt is None else 1000 * dt
    steps = np.arange(len(shown)) * scale
    limits = _thresholds(threshold, all_of_it.shape[1])
    top = np.nanmax([shown.max(initial=0), *(limits if limits is not None else ())])
    for index, (line, number) in enumerate(zip(shown.T, numbers, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        ax.plot(steps, line, color=colour, linewidth=1.2, label=str(number))
        if fired is not None:
            at = np.flatnonzero(fired[:, number])
            height = np.full(len(at), top + (0.06 + 0.04 * index) * (abs(top) or 1))
            ax.scatter(at * scale, height, marker="|", s=40, color=colour)
    if limits is not None:
        same = bool((limits == limits[0]).all())
        for index, number in enumerate(numbers[:1] if same else numbers):
            colour = "0.4" if same else COLOURS[index % len(COLOURS)]
            ax.axhline(limits[number], color=colour, linestyle="--", linewidth=0.9)
    if len(numbers) > 1:
        ax.legend(title="neuron", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    mark_steps(ax, dt)
    ax.set_ylabel("membrane potential")
    ax.set_title(title)
    return ax


def _thresholds(threshold: Any, neurons: int) -> Any:
    """One for each neuron, or None."""
    if threshold is None:
        return None
    flat = np.asarray(as_numpy(threshold), np.float64).ravel()
    if flat.size not in (1, neurons):
        raise InputError(
            Problem(f"{flat.size} thresholds for {neurons} neurons", "one, or one for each")
        )
    return np.broadcast_to(flat, (neurons,))
