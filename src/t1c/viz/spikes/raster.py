"""A raster: a mark for each spike, steps to the right, neurons upwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import COLOURS, chosen, mark_steps, new_axes, populations

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_raster(
    spikes: Any,
    ax: Axes | None = None,
    *,
    sample: int = 0,
    neurons: Sequence[int] | slice | None = None,
    dt: float | None = None,
    title: str = "",
) -> Axes:
    """Draw a mark for each spike.

    Args:
        spikes: (T, B, *features) as ``executor.run`` gives them, or (T, N) of one sample; or a dict
            of such by name, which are drawn above one another. What is not 0 is a spike.
        ax: where to draw; None: in a new figure.
        sample: which of B.
        neurons: which of each population, counted over its flattened features; None: all.
        dt: seconds in a step: the axis then shows milliseconds.
        title: above the axes.

    Returns:
        The axes.

    Raises:
        InputError: the spikes have another shape, or a sample or neuron is not there.
        UnsupportedError: matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> ax = plot_raster({"lif1": np.eye(8)[:, None], "lif2": np.eye(8)[:, None]})
        >>> ax.get_xlabel()
        'step'
    """
    named = populations(spikes, sample)
    ax = new_axes() if ax is None else ax
    scale = 1 if dt is None else 1000 * dt
    low, middles = 0, []
    steps = 0
    for index, (_, each) in enumerate(named.items()):
        shown, _ = chosen(each, neurons)
        steps, count = shown.shape
        step, neuron = np.nonzero(shown)
        ax.scatter(
            step * scale,
            neuron + low,
            # A mark is as high as a neuron's row where there is room, and can be seen where not.
            s=max(0.5, min(60.0, 4000.0 / max(1, sum(a.shape[1] for a in named.values())))),
            marker="|" if count < 400 else ".",
            linewidths=1.0,
            color=COLOURS[index % len(COLOURS)],
            rasterized=len(step) > 20_000,
        )
        middles.append(low + (count - 1) / 2)
        low += count
        if index + 1 < len(named):
            ax.axhline(low - 0.5, color="0.8", linewidth=0.8)
    ax.set_xlim(-0.5 * scale, (steps - 0.5) * scale)
    ax.set_ylim(-0.5, max(low, 1) - 0.5)
    mark_steps(ax, dt)
    if list(named) == [""]:
        ax.set_ylabel("neuron")
    else:
        ax.set_yticks(middles, list(named))
    ax.set_title(title)
    return ax
