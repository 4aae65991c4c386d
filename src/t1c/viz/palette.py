"""Families of primitives, and one colour for each: the page, the SVG and DOT share them.

A family is the file that a primitive is declared in, so that a new primitive has its colour
already; primitives of users are neurons if a cycle may be cut at them.
"""

from __future__ import annotations

from dataclasses import dataclass

from t1c import ir


@dataclass(frozen=True)
class Family:
    """A kind of primitive as pictures show it.

    Attributes:
        title: what the legend says.
        light: its colour on a white page.
        dark: its colour on a dark page.
    """

    title: str
    light: str
    dark: str


FAMILIES = {
    "border": Family("input, output", "#5b6472", "#aab4c4"),
    "neuron": Family("neuron", "#e07b00", "#ffa640"),
    "linear": Family("linear", "#2f6fde", "#6aa3ff"),
    "convolution": Family("convolution", "#0f8a8a", "#3fc4c0"),
    "pooling": Family("pooling", "#5f9a1e", "#9bd35a"),
    "normalization": Family("normalization", "#8a56d8", "#b892ff"),
    "activation": Family("activation", "#c8417f", "#ff86b6"),
    "arithmetic": Family("arithmetic", "#94702a", "#d3b06a"),
    "joining": Family("join, split", "#c23b33", "#ff8078"),
    "shape": Family("reshape", "#7a8190", "#98a1b3"),
    "memory": Family("delay, memory", "#3d7f55", "#7cc798"),
    "graph": Family("nested graph", "#44506b", "#93a3c7"),
    "other": Family("other", "#6b7280", "#a0a7b4"),
}

FEEDBACK = Family("one step late (t-1)", "#d1242f", "#ff7b72")
"""The colour of an edge that delivers what was sent in the previous step."""

_FAMILY_OF = {
    "border": "border",
    "threshold": "neuron",
    "leaky": "neuron",
    "integrate": "neuron",
    "current": "neuron",
    "linear": "linear",
    "convolution": "convolution",
    "pooling": "pooling",
    "normalization": "normalization",
    "activation": "activation",
    "elementwise": "arithmetic",
    "combine": "arithmetic",
    "reduce": "arithmetic",
    "merge": "joining",
    "split": "joining",
    "reshape": "shape",
    "region": "shape",
    "delay": "memory",
    "accumulate": "memory",
    "graph": "graph",
}


def family_of(node: ir.Node) -> str:
    """The key of ``FAMILIES`` for a node."""
    module = type(node).__module__
    if module.startswith("t1c.ir."):
        return _FAMILY_OF.get(module.rpartition(".")[2], "other")
    return "neuron" if node.breaks_cycles else "other"
