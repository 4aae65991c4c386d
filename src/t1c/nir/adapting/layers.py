"""What has no state: what a reader runs of it, and what it would drop, ignore or misread."""

from __future__ import annotations

from typing import Any

from t1c import ir
from t1c.ir.errors import Problem

from .draft import Draft

INSTEAD = {
    "MaxPool2d": "Train with AvgPool2d or SumPool2d in its place: NIR has no maximum.",
    "MaxPool1d": "Train with strided convolutions in its place: NIR has no maximum.",
    "MaxPool3d": "Train with strided convolutions in its place: NIR has no maximum.",
    "AvgPool2d": "Use a SumPool2d, and divide the weights behind it by the size of its window.",
    "Scale": "Multiply the weights before or behind it instead.",
    "Delay": "Only readers of plain NIR have delays: write it without a dialect.",
    "Threshold": "Use a LIF with tau = 1, which has no memory.",
    "BatchNorm1d": "It can be folded behind a layer of weights that leads to nothing else.",
    "BatchNorm2d": "It can be folded behind a layer of weights that leads to nothing else.",
    "BatchNorm3d": "It can be folded behind a layer of weights that leads to nothing else.",
    "SepConv2d": "Write it as two Conv2d.",
}
"""Type -> what to do where a reader has none of it."""


def check_layers(draft: Draft) -> None:
    """Every node is of a type that the reader runs, with nothing that it ignores."""
    reader = draft.reader
    known = (*reader.layers, *reader.neurons)
    for name, found in draft.nodes.items():
        node: Any = found
        if isinstance(node, ir.Input | ir.Output):
            continue
        kind = node.primitive
        if kind in reader.neurons:
            continue
        checks = reader.layers.get(kind)
        if checks is None:
            what = (
                f"NIR has no {kind}"
                if kind not in NIR_TYPES
                else f"{draft.title} has no {kind}: it {reader.otherwise}"
            )
            draft.refuse(
                name,
                Problem(
                    what,
                    f"one of {', '.join(known)}",
                    INSTEAD.get(kind, "Replace the node."),
                ),
            )
            continue
        draft.refuse(name, *(p for check in checks if (p := check(node)) is not None))
        if kind == "AvgPool2d":
            draft.refuse(name, *_odd_pool(node))


def _odd_pool(node: Any) -> list[Problem]:
    """NIR's AvgPool2d divides by the whole kernel and drops what does not fill a window."""
    problems = []
    if node.ceil_mode:
        problems.append(
            Problem("True, for which NIR has no word", "False", "Pad instead.", field="ceil_mode")
        )
    if not node.count_include_pad and node.padding != (0, 0):
        problems.append(
            Problem(
                "False, for which NIR has no word",
                "True",
                "Train with it.",
                field="count_include_pad",
            )
        )
    return problems


NIR_TYPES = frozenset(
    (
        *("Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten"),
        *("Delay", "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"),
    )
)
"""The types of which a NIR file can speak, Input, Output and graphs apart."""
