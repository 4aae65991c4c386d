"""A NIR graph as plain values: what a ``.nir`` file and a graph of the ``nir`` package both become.

Everything that this package converts passes through here, so that a file is read without the
``nir`` package and a graph in memory is treated exactly as its file would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Edges = list[tuple[str, str]]


@dataclass
class NirNode:
    """One node: the name of its NIR type, and its fields as numbers, arrays, tuples or text.

    A field that is None in memory, or not in the file, is absent.
    """

    type: str
    fields: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class NirGraph:
    """Nodes by name, in order, and edges; ``version`` is that of the file, '' if it says none."""

    nodes: dict[str, NirNode | NirGraph]
    edges: Edges
    metadata: dict[str, Any] = field(default_factory=dict)
    version: str = ""

    def walk(self, prefix: str = "") -> Iterator[tuple[str, NirNode]]:
        """All nodes, those of subgraphs as ``subgraph/name``."""
        for name, node in self.nodes.items():
            if isinstance(node, NirGraph):
                yield from node.walk(f"{prefix}{name}/")
            else:
                yield prefix + name, node


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same bit for bit, with their dtype and shape.

    A Python number is what NumPy makes of it, a tuple what an array holds; -0 is not 0.
    """
    if a is b:
        return True
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a == b
    x, y = np.asarray(a), np.asarray(b)
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
