"""The reset and the comparison of neurons that fire, where NIR has one way and graphs several.

NIR: a spike where v > v_threshold, then v := v_reset. A graph's node may also reset by
subtraction, or not at all, in the next step, or fire at v >= v_threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c import ir

from .conventions import Conventions
from .crossings import Fields, numbers


def firing_options(kind: str, fields: Fields, c: Conventions) -> dict[str, Any]:
    """The options of a node, from a NIR node of type ``kind``.

    Raises:
        NodeError: v_reset is not numeric.
    """
    options: dict[str, Any] = {"fires_at": c.fires_at}
    if kind == "Threshold":
        return options
    options["reset_delay"] = kind in c.delayed and c.reset != "none"
    v_reset = None if c.ignores_v_reset else fields.get("v_reset")
    elsewhere = v_reset is not None and bool(numbers(v_reset, "v_reset").any())
    if c.reset == "subtract" and elsewhere:
        options |= {"reset": "lower", "v_reset": v_reset}
    elif c.reset:
        options["reset"] = None if c.reset == "zero" else c.reset
    elif elsewhere:
        options["v_reset"] = v_reset
    if c.spikes != "binary":
        options["spikes"] = c.spikes
    if kind in c.floors and "v_threshold" in fields:
        options["v_min"] = -numbers(fields["v_threshold"], "v_threshold")
    return options


def v_reset_of(node: ir.Node, v_threshold: Any) -> Any:
    """What a node resets to, as NIR writes it: zeros beside the threshold for every other reset."""
    value = getattr(node, "v_reset", None)
    return np.zeros_like(v_threshold) if value is None else value


def unsaid_options(node: ir.Node, c: Conventions) -> dict[str, Any]:
    """The options that a NIR node, read by ``c``, would not have: name -> value."""
    expected = firing_options(node.primitive, {}, c)
    unsaid: dict[str, Any] = {
        name: getattr(node, name)
        for name in ("fires_at", "reset_delay")
        if name in expected and getattr(node, name) != expected[name]
    }
    mode = getattr(node, "reset_mode", None)
    said = [c.reset] if c.reset else ["zero", "value"]
    if c.reset == "subtract" and not c.ignores_v_reset:
        said.append("lower")
    if mode is not None and mode not in said:
        unsaid["reset"] = mode
        if mode in ("value", "lower"):
            unsaid["v_reset"] = getattr(node, "v_reset", None)
    if getattr(node, "spikes", c.spikes) != c.spikes:
        unsaid["spikes"] = getattr(node, "spikes", None)
    v_min = getattr(node, "v_min", None)
    floored = node.primitive in c.floors and v_min is not None
    if v_min is not None and not (floored and (v_min == -node.parameters()["v_threshold"]).all()):
        unsaid["v_min"] = v_min
    return unsaid
