"""What nodes gave in a run, as one level for each step: what the playback colours."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from t1c.ir import InputError
from t1c.ir.errors import Problem
from t1c.ir.guess import did_you_mean

Activity = Mapping[str, Any]
"""Name of a node -> what it gave: an array (T, ...), or what NumPy makes one of."""


def levels(activity: Activity, names: Collection[str]) -> dict[str, Any]:
    """The mean size of each node's output at each step, as bytes of its largest.

    Args:
        activity: what nodes gave.
        names: of all nodes, in the order in which they are numbered.

    Returns:
        ``steps``, and ``nodes``: number -> ``peak`` (the largest mean) and ``levels`` (base64 of
        one byte for each step; 255 is the peak).

    Raises:
        InputError: a name is not known, or numbers of steps differ.
    """
    number = {name: i for i, name in enumerate(names)}
    nodes: dict[str, Any] = {}
    steps: dict[str, int] = {}
    for name, given in activity.items():
        if name not in number:
            raise InputError(
                Problem(
                    f"there is no node {name!r}",
                    "names of the graph's nodes",
                    did_you_mean(name, number, "A node n of a nested graph g is named g/n."),
                    field="activity",
                )
            )
        values = np.asarray(given, dtype=np.float64)
        if not values.ndim or not values.size:
            raise InputError(
                Problem(
                    f"an array of shape {values.shape} for {name!r}", "(T, ...)", field="activity"
                )
            )
        steps[name] = len(values)
        means = np.nan_to_num(np.abs(values).reshape(len(values), -1)).mean(1)
        peak = float(means.max())
        scaled = np.rint(means / peak * 255) if peak else means
        text = base64.b64encode(scaled.astype(np.uint8).tobytes()).decode()
        nodes[str(number[name])] = {"peak": peak, "levels": text}
    if len(set(steps.values())) != 1:
        raise InputError(
            Problem(
                f"different numbers of steps: {steps}" if steps else "no node at all",
                "arrays (T, ...) with one T",
                field="activity",
            )
        )
    return {"steps": next(iter(steps.values())), "nodes": nodes}
