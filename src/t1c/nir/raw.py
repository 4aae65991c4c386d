"""A NIR graph as plain values: what a ``.nir`` file and a graph of the ``nir`` package both become.

Everything that this package converts passes through here, so that a file is read without the
``nir`` package and a graph in memory is treated exactly as its file would be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def difference(a: NirGraph, b: NirGraph, where: str = "") -> list[str]:
    """What differs between two graphs, one line each; empty if they are equal."""
    found = []
    if list(a.nodes) != list(b.nodes):
        found.append(f"{where}nodes: {list(a.nodes)} and {list(b.nodes)}")
    if a.edges != b.edges:
        found.append(f"{where}edges: {a.edges} and {b.edges}")
    found += _unequal(a.metadata, b.metadata, f"{where}metadata")
    for name in [n for n in a.nodes if n in b.nodes]:
        place, mine, theirs = f"{where}node {name!r}, ", a.nodes[name], b.nodes[name]
        if isinstance(mine, NirGraph) and isinstance(theirs, NirGraph):
            found += difference(mine, theirs, place)
        elif isinstance(mine, NirNode) and isinstance(theirs, NirNode):
            if mine.type != theirs.type:
                found.append(f"{place}type: {mine.type} and {theirs.type}")
            found += _unequal(mine.fields, theirs.fields, f"{place}field")
            found += _unequal(mine.metadata, theirs.metadata, f"{place}metadata")
        else:
            found.append(f"{place}type: a node and a subgraph")
    return found


def _unequal(a: Mapping[str, Any], b: Mapping[str, Any], where: str) -> list[str]:
    found = []
    for key in dict.fromkeys([*a, *b]):
        if key not in a or key not in b:
            found.append(f"{where} {key!r}: only in the {'first' if key in a else 'second'}")
        elif isinstance(a[key], Mapping) and isinstance(b[key], Mapping):
            found += _unequal(a[key], b[key], f"{where} {key!r},")
        elif isinstance(a[key], Mapping) or isinstance(b[key], Mapping):
            found.append(f"{where} {key!r}: a group and a value")
        elif not same(a[key], b[key]):
            found.append(f"{where} {key!r}: {a[key]!r} and {b[key]!r}")
    return found
