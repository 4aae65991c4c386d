"""Rates: how often a population fires, step by step, or each of its neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from t1c.ir.errors import InputError, Problem

from .arrays import as_numpy, mark_steps, new_axes, style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from t1c.ir.fields import Array


def plot_rates(
    spikes: Any,
    ax: Axes | None = None,
    *,
    over: Literal["time", "neurons"] = "time",
    window: int = 1,
    dt: float | None = None,
    title: str = "",
    label: str | None = None,
) -> Axes:
    """Draw how often neurons fire: spikes per neuron and step (per second where ``dt`` is given).

    Args:
        spikes: (T, B, *features), or (T, N) of one sample; or a dict of such by name.
        ax: where to draw; None: in a new figure.
        over: 'time': the mean over samples and neurons, at each step; 'neurons': how many neurons
            have which rate, the mean over samples and steps.
        window: over how many steps the curve over time is averaged (the present one and those
            before it, as many as there are).
        dt: seconds in a step.
        title: above the axes.
        label: of the axis of rates, for what are no spikes: then nothing is told per second.

    Returns:
        The axes.

    Raises:
        InputError: the spikes have another shape, or an argument is out of range.
        UnsupportedError: matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> ax = plot_rates(np.ones((10, 2, 3)), dt=1e-3)
        >>> ax.get_lines()[0].get_ydata()[0]
        np.float64(1000.0)
    """
    if over not in ("time", "neurons"):
        raise InputError(Problem(f"over={over!r}", "'time' or 'neurons'"))
    if window < 1:
        raise InputError(Problem(f"window={window}", "at least 1"))
    named: Mapping[str, Any] = spikes if isinstance(spikes, dict) else {"": spikes}
    counted = dt is None or label is not None
    per_second = 1.0 if counted or dt is None else 1 / dt
    unit = label or ("spikes per neuron and step" if counted else "rate (Hz)")
    ax = new_axes() if ax is None else ax
    for index, (name, each) in enumerate(named.items()):
        rates = _rates(each)
        colour, line = style(index)
        if over == "neurons":
            ax.hist(
                rates.mean(0) * per_second,
                bins=30,
                histtype="stepfilled",
                alpha=0.6,
                color=colour,
                edgecolor=colour,
                linestyle=line,
                linewidth=1.2,
                label=name,
            )
            continue
        curve = _averaged(rates.mean(1), window) * per_second
        steps = np.arange(len(curve)) * (1 if dt is None else 1000 * dt)
        ax.plot(steps, curve, color=colour, linestyle=line, linewidth=1.2, label=name)
    if over == "time":
        mark_steps(ax, dt)
        ax.set_ylabel(unit)
        if label is None:
            ax.set_ylim(bottom=0)
    else:
        ax.set_xlabel(unit)
        ax.set_ylabel("neurons")
    if any(named):
        ax.legend(frameon=False)
    ax.set_title(title)
    return ax


def _rates(values: Any) -> Array:
    """(T, N): the mean over samples."""
    array = as_numpy(values).astype(np.float64)
    if array.ndim < 2 or not array.shape[0]:
        raise InputError(
            Problem(f"an array of shape {array.shape}", "(T, B, *features), or (T, N) of a sample")
        )
    return array if array.ndim == 2 else array.mean(1).reshape(len(array), -1)


def _averaged(curve: Array, window: int) -> Array:
    sums = np.cumsum(np.concatenate([np.zeros(1), curve]))
    ends = np.arange(1, len(curve) + 1)
    starts = np.maximum(ends - window, 0)
    mean: Array = (sums[ends] - sums[starts]) / (ends - starts)
    return mean
