"""Graphs of any size whose form is hard on what draws them: name -> of about so many nodes."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.metadata import MAX_DEPTH


def chain(n: int) -> ir.Graph:
    """One behind the other."""
    names = [f"n{i}" for i in range(n)]
    return _graph({name: _relu() for name in names}, _path(names))


def star(n: int) -> ir.Graph:
    """All beside each other."""
    names = [f"n{i}" for i in range(n)]
    edges = [("input", name) for name in names] + [(name, "output") for name in names]
    return _graph({name: _relu() for name in names}, edges)


def branches(n: int) -> ir.Graph:
    """Equal chains beside each other."""
    names = [[f"b{b}_{i}" for i in range(20)] for b in range(n // 20)]
    edges = [edge for branch in names for edge in _path(branch)]
    return _graph({name: _relu() for branch in names for name in branch}, edges)


def entangled(n: int) -> ir.Graph:
    """A chain, and three times as many edges between any two of it."""
    draw = random.Random(0)
    names = [f"n{i}" for i in range(n)]
    further = (sorted(draw.sample(range(n), 2)) for _ in range(3 * n))
    edges = {*_path(names), *((names[a], names[b]) for a, b in further)}
    return _graph({name: _relu() for name in names}, sorted(edges))


def onion(n: int) -> ir.Graph:
    """A chain whose k-th node is added to its k-th last: residual blocks in residual blocks."""
    names = [f"n{i}" for i in range(n)]
    around = ((names[i], names[n - 1 - i]) for i in range(n // 2))
    return _graph({name: _relu() for name in names}, sorted({*_path(names), *around}))


def loops(n: int) -> ir.Graph:
    """Neurons in pairs that give each other their spikes."""
    names = [f"n{i}" for i in range(n)]
    back = [(names[i + 1], names[i]) for i in range(0, n - 1, 2)]
    return _graph({name: _lif() for name in names}, _path(names) + back)


def never_equal(n: int) -> ir.Graph:
    """A chain of two kinds in the order of Fibonacci's word: everywhere alike, nowhere repeated."""
    before, word = "b", "a"
    while len(word) < n:
        before, word = word, word + before
    nodes = {f"n{i}": _relu() if kind == "a" else _lif() for i, kind in enumerate(word[:n])}
    return _graph(nodes, _path(list(nodes)))


def nested(n: int) -> ir.Graph:
    """Graphs in graphs, as deep as a file may have them."""
    inner = chain(n // MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        names = [f"n{i}" for i in range(n // MAX_DEPTH)]
        inner = _graph({**{name: _relu() for name in names}, "g": inner}, _path([*names, "g"]))
    return inner


def long_names(n: int) -> ir.Graph:
    """Few nodes, with names as long as those of many."""
    names = ["x" * 8000 + str(i) for i in range(n // 40)]
    return _graph({name: _relu() for name in names}, _path(names))


def notes(n: int) -> ir.Graph:
    """One node, and as many notes."""
    said = {f"k{i}": {"text": ["x"] * 10} for i in range(n)}
    return _graph({"n": _relu()}, _path(["n"]), said)


LARGE: dict[str, Callable[[int], ir.Graph]] = {
    make.__name__: make
    for make in (
        chain, star, branches, entangled, onion, loops, never_equal, nested, long_names, notes,
    )
}  # fmt: skip


def _graph(
    nodes: Mapping[str, ir.Node],
    edges: Iterable[tuple[str, str]],
    metadata: Mapping[str, Any] | None = None,
) -> ir.Graph:
    nodes = {"input": ir.Input((1,)), **nodes, "output": ir.Output((1,))}
    return ir.Graph(nodes, edges, metadata=metadata, allow_cycles=True)


def _path(names: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(["input", *names], [*names, "output"], strict=True))


def _relu() -> ir.Node:
    return ir.ReLU(1)


def _lif() -> ir.Node:
    return ir.LIF(tau=np.full(1, 2.0), r=np.ones(1), v_leak=np.zeros(1), v_threshold=np.ones(1))
