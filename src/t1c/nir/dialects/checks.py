"""What importers ask of layers without state."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c.ir.errors import Problem


def unpadded(node: Any) -> Problem | None:
    """The padding of a pool is ignored."""
    if not np.any(node.padding):
        return None
    return Problem(
        f"{node.padding}, which the importer ignores",
        "no padding",
        "Pad in the convolution before it.",
        field="padding",
    )


def ungrouped(node: Any) -> Problem | None:
    """Groups are refused or ignored."""
    if node.groups == 1:
        return None
    return Problem(
        f"{node.groups} groups, which the importer does not run",
        "1",
        "Write the weight in full, with zeros between the groups.",
        field="groups",
    )


def groups_twice(node: Any) -> Problem | None:
    """The importer makes the convolution of weight.shape[1] inputs, which groups must divide."""
    if node.weight.shape[1] % node.groups == 0:
        return None
    return Problem(
        f"{node.groups} groups of {node.weight.shape[1]} inputs, which the importer cannot make",
        "groups that divide the inputs of each",
        "Write the weight in full, with zeros between the groups.",
        field="groups",
    )
