"""How many dimensions a signal has, without batch and time, where weights and kernels tell.

Shapes cannot be asked in a file that is to be mended, because they are what is wrong in it. What an
Affine or a convolution takes has a known number of dimensions, though, and everything that keeps
this number, neurons above all, carries it along, forwards and backwards. Where
there is neither, an Input's own shape is believed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..raw import NirGraph, NirNode

Port = tuple[str, str]
"""A node by its path, and 'in' or 'out'."""

FIXED = {
    "Affine": 1,
    "Linear": 1,
    "Conv1d": 2,
    "Conv2d": 3,
    "SumPool2d": 3,
    "AvgPool2d": 3,
}
"""NIR type -> the dimensions of what it takes and gives."""


def ranks(raw: NirGraph) -> dict[str, int]:
    """The dimensions of what arrives at each node, by its path (``subgraph/name``), where known.

    A Flatten's come from what is before it; a node at which two numbers meet is left out.
    """
    groups = _groups(raw)
    known: dict[Port, set[int]] = {}
    said: dict[Port, set[int]] = {}
    for path, node in raw.walk():
        if node.type in FIXED:
            for side in ("in", "out"):
                known.setdefault(groups[path, side], set()).add(FIXED[node.type])
        elif node.type == "Input":
            said.setdefault(groups[path, "out"], set()).add(np.size(node.fields.get("shape", ())))
    known = {**said, **known}
    return {
        path: next(iter(found))
        for path, _ in raw.walk()
        if len(found := known.get(groups[path, "in"], set())) == 1
    }


def _groups(raw: NirGraph) -> dict[Port, Port]:
    """Each port, and one that stands for all that have as many dimensions as it."""
    leader: dict[Port, Port] = {}
    for path, _ in raw.walk():
        for side in ("in", "out"):
            leader[path, side] = (path, side)

    def find(port: Port) -> Port:
        while leader[port] != port:
            port = leader[port]
        return port

    for a, b in _equal(raw, ""):
        if a in leader and b in leader:
            leader[find(a)] = find(b)
    return {port: find(port) for port in leader}


def _equal(raw: NirGraph, path: str) -> Iterator[tuple[Port, Port]]:
    """Pairs of ports with equally many dimensions: of an edge, and of a node that keeps them."""
    for name, node in raw.nodes.items():
        if isinstance(node, NirGraph):
            yield from _equal(node, f"{path}{name}/")
        elif node.type != "Flatten":
            yield (path + name, "in"), (path + name, "out")
    for source, target in raw.edges:
        for a in _borders(raw, source, "Output"):
            for b in _borders(raw, target, "Input"):
                yield (f"{path}{a}", "out"), (f"{path}{b}", "in")


def _borders(raw: NirGraph, name: str, border: str) -> list[str]:
    """The node of a name; of a subgraph its one Input or Output, none where it has several."""
    node = raw.nodes.get(name)
    if not isinstance(node, NirGraph):
        return [name]
    inner = [n for n, v in node.nodes.items() if isinstance(v, NirNode) and v.type == border]
    return [f"{name}/{inner[0]}"] if len(inner) == 1 else []


def without_batch(value: object, rank: int | None) -> np.ndarray | None:
    """An array without its leading axis of length 1, where that is one axis too many; else None."""
    array = np.asarray(value)
    if rank is None or array.ndim != rank + 1 or array.shape[0] != 1:
        return None
    return np.ascontiguousarray(array[0])
