"""What plots take: sequences as the engine hands them over, laid out as steps and neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.ir.optional import imported

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette: told apart by colour-blind people too."""

STYLES = ("-", "--", ":", "-.")
"""Lines of one colour are told apart by these, once there are more lines than colours."""


def style(index: int) -> tuple[str, str]:
    """Colour and line style of the ``index``-th series: 28 that all differ.

    Example:
        >>> style(0), style(7)
        (('#0072B2', '-'), ('#0072B2', '--'))
    """
    return COLOURS[index % len(COLOURS)], STYLES[index // len(COLOURS) % len(STYLES)]


def new_axes() -> Axes:
    """The axes of a new figure.

    Raises:
        UnsupportedError: matplotlib is not installed.
    """
    return _pyplot().subplots(layout="constrained")[1]  # type: ignore[no-any-return]


def new_grid(rows: int, columns: int, size: tuple[float, float]) -> Array:
    """The axes (rows, columns) of a new figure of ``size`` in inches.

    Raises:
        UnsupportedError: matplotlib is not installed.
    """
    axes: Array = _pyplot().subplots(
        rows, columns, squeeze=False, layout="constrained", figsize=size
    )[1]
    return axes


def _pyplot() -> Any:
    return imported("matplotlib.pyplot", "plots need matplotlib, which", "plot")


def mark_steps(ax: Axes, dt: float | None) -> None:
    """Name the axis of time: whole steps, or milliseconds where ``dt`` says how long one is."""
    ax.set_xlabel("step" if dt is None else "time (ms)")
    if dt is None:
        ax.locator_params(axis="x", integer=True)


def as_numpy(values: Any) -> Array:
    """An array, or a tensor of whatever device and type, as NumPy has it."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        values = values.float() if values.dtype.itemsize < 4 else values
    return np.asarray(values)


def steps_and_neurons(values: Any, sample: int) -> Array:
    """(T, N) of one sample.

    Args:
        values: (T, B, *features), or (T, N) of one sample.
        sample: which of B.

    Raises:
        InputError: it is neither, or there is no such sample.
    """
    array = as_numpy(values)
    if array.ndim < 2 or not array.shape[0]:
        raise InputError(
            Problem(f"an array of shape {array.shape}", "(T, B, *features), or (T, N) of a sample")
        )
    if array.ndim == 2:
        return array
    if not -array.shape[1] <= sample < array.shape[1]:
        raise InputError(Problem(f"sample={sample} of {array.shape[1]}", "one that is there"))
    return array[:, sample].reshape(len(array), -1)


def populations(values: Any, sample: int) -> dict[str, Array]:
    """Name -> (T, N): each of a dict, or the one under an empty name.

    Raises:
        InputError: there is none, one is no sequence, or they differ in T.
    """
    named = values if isinstance(values, Mapping) else {"": values}
    found = {str(name): steps_and_neurons(each, sample) for name, each in named.items()}
    lengths = {len(each) for each in found.values()}
    if len(lengths) != 1:
        raise InputError(
            Problem(f"sequences of {sorted(lengths)} steps", "at least one, all of the same length")
        )
    return found


def chosen(array: Array, neurons: Sequence[int] | slice | None) -> tuple[Array, Array]:
    """The columns of ``neurons`` of (T, N), and their numbers.

    Raises:
        InputError: one is not there.
    """
    numbers = np.arange(array.shape[1])
    if neurons is not None:
        try:
            numbers = numbers[neurons if isinstance(neurons, slice) else np.asarray(neurons, int)]
        except IndexError as cause:
            raise InputError(
                Problem(f"neurons={neurons}", f"numbers from 0 to {array.shape[1] - 1}")
            ) from cause
    return array[:, numbers], numbers
