"""Thresholds for the neurons that replace ReLUs: as given, or as high as activations get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

Given = float | Mapping[str, Any] | None
"""One threshold for all, or ReLU -> threshold, a number or an array laid as a parameter is."""


def is_given(thresholds: Given, name: str) -> bool:
    """Whether the threshold of a ReLU is said."""
    if isinstance(thresholds, Mapping):
        return name in thresholds
    return thresholds is not None


def chosen_thresholds(
    graph: ir.Graph,
    relus: Sequence[str],
    inputs: Any,
    given: Given,
    percentile: float,
    per_channel: bool,
) -> dict[str, Array]:
    """ReLU -> threshold, as given or as calibrated on inputs.

    Args:
        graph: what is calibrated.
        relus: its ReLUs, by path.
        inputs: samples, or a dict of them by Input name.
        given: thresholds in their place.
        percentile: of the activations above 0.
        per_channel: one for each channel; a channel without an activation above 0 has that of all.

    Raises:
        InputError: a threshold is missing, or not above 0.
    """
    if isinstance(given, Mapping) and (unknown := set(given) - set(relus)):
        raise InputError(
            Problem(
                f"thresholds for {sorted(unknown)}", f"ReLUs: {list(relus)}", where="thresholds"
            )
        )
    open_ones = [name for name in relus if not is_given(given, name)]
    if open_ones and inputs is None:
        raise InputError(
            Problem(
                f"no threshold for {', '.join(map(repr, open_ones))}",
                "samples to calibrate on, or thresholds",
                "Pass inputs=..., some samples of the data, or thresholds=....",
            )
        )
    sent = ir.Reference(graph).trace(inputs)[0] if open_ones else {}
    chosen, problems = {}, []
    for name in relus:
        if name in open_ones:
            chosen[name] = _highest(sent[name], percentile, per_channel)
        else:
            said: Any = given[name] if isinstance(given, Mapping) else given
            chosen[name] = np.atleast_1d(np.asarray(said, dtype=np.float64))
        if not ((chosen[name] > 0) & np.isfinite(chosen[name])).all():
            worst = f"{chosen[name].min():g}"
            found = "no activation above 0" if name in open_ones else worst
            remedy = "Calibrate on more samples, or give thresholds={...} for it."
            problems.append(Problem(found, "a threshold above 0", remedy, f"ReLU {name!r}"))
    if problems:
        raise InputError(problems)
    return chosen


def _highest(activation: Array, percentile: float, per_channel: bool) -> Array:
    """A percentile of what is above 0: one number as (1,), or (C, 1, ...) of (N, C, ...)."""
    of_all = _percentile(activation, percentile)
    if not per_channel:
        return np.array([of_all])
    each = [_percentile(channel, percentile) for channel in np.moveaxis(activation, 1, 0)]
    heights = np.array([height or of_all for height in each])
    return heights.reshape(-1, *(1,) * (activation.ndim - 2))


def _percentile(activation: Array, percentile: float) -> float:
    above = activation[activation > 0]
    return float(np.percentile(above, percentile)) if above.size else 0.0
