"""Activations that were trained in steps: QCFS, recognised in a graph of their arithmetic.

Quantisation-clip-floor-shift (Bu et al. 2022) is ``clip(floor(x L / θ + 1/2) / L, 0, 1) θ``: what a
neuron of threshold θ sends on average over L steps, if its membrane starts at θ/2 and the input
stands still. An exporter writes it as scales, a shift, a floor and a clip, in one of several
orders.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.topology import Edge

from .rebuild import rebuilt

CLOSE = 1e-5
"""How far factors that were rounded to float32 may be from what they stand for."""


@dataclasses.dataclass(frozen=True)
class Steps:
    """One such activation.

    Attributes:
        threshold: θ, one number or laid over the features.
        levels: L, into how many parts the range up to it is divided.
    """

    threshold: Array
    levels: int


@dataclasses.dataclass
class _Line:
    """scale * x + shift, kept between low and high."""

    scale: Array = dataclasses.field(default_factory=lambda: np.ones(1))
    shift: Array = dataclasses.field(default_factory=lambda: np.zeros(1))
    low: Array = dataclasses.field(default_factory=lambda: np.array([-np.inf]))
    high: Array = dataclasses.field(default_factory=lambda: np.array([np.inf]))

    def through(self, node: ir.Node) -> bool:
        """Go through a node; False where it is none that a line goes through upwards."""
        if isinstance(node, ir.Scale):
            factor = node.scale.astype(np.float64)
            if not (factor > 0).all():
                return False
            for name in ("scale", "shift", "low", "high"):
                setattr(self, name, getattr(self, name) * factor)
        elif isinstance(node, ir.Shift):
            for name in ("shift", "low", "high"):
                setattr(self, name, getattr(self, name) + node.shift.astype(np.float64))
        elif isinstance(node, ir.Clip):
            bounds = {"low": node.low, "high": node.high}
            for name, bound in bounds.items():
                if bound is not None:
                    limit = np.maximum if name == "low" else np.minimum
                    setattr(self, name, limit(getattr(self, name), bound.astype(np.float64)))
        else:
            return False
        return True


def with_relus(graph: ir.Graph, path: str = "") -> tuple[ir.Graph, dict[str, Steps]]:
    """The graph with a ReLU in the place of each such activation, and what each was.

    The ReLU has the name of the last node of the activation; nested graphs are looked into.
    """
    found: dict[str, Steps] = {}
    nodes: dict[str, ir.Node] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph):
            nodes[name], inside = with_relus(node, f"{path}{name}/")
            found |= inside
        else:
            nodes[name] = node
    edges = list(graph.edges)
    for name, node in graph.nodes.items():
        if not (isinstance(node, ir.Unary) and node.op == "floor"):
            continue
        for chain, place in _chains(graph, name):
            steps = _read([graph.nodes[n] for n in chain], place)
            if steps is not None and nodes.keys() >= set(chain):
                found[path + chain[-1]] = steps
                nodes, edges = _replaced(graph, chain, nodes, edges)
                break
    if not found:
        return graph, found
    return rebuilt(graph, nodes, edges, ()), found


def _chains(graph: ir.Graph, floor: str) -> Iterator[tuple[list[str], int]]:
    """Runs of nodes around a floor, the longest first, and the place of the floor in each."""
    before = [floor, *_run(graph, floor, back=True)]
    after = _run(graph, floor, back=False)
    for start in range(len(before) - 1, 0, -1):
        head = before[start::-1]
        for end in range(len(after), 0, -1):
            yield [*head, *after[:end]], start


def _run(graph: ir.Graph, name: str, *, back: bool) -> list[str]:
    """Scales, Shifts and Clips that follow each other alone, away from a node."""
    topology = graph.topology()
    away, towards = (topology.before, topology.after)[:: 1 if back else -1]
    run: list[str] = []
    while len(away[name]) == 1:
        (following,) = away[name]
        alone = len(towards[following]) == 1
        if not alone or not isinstance(graph.nodes[following], ir.Scale | ir.Shift | ir.Clip):
            break
        run.append(following)
        name = following
    return run


def _read(nodes: list[ir.Node], floor: int) -> Steps | None:
    """What a run of nodes computes, if it is such an activation."""
    into, out = _Line(), _Line()
    if not all(into.through(node) for node in nodes[:floor]):
        return None
    out.low, out.high = np.floor(into.low + CLOSE), np.floor(into.high + CLOSE)
    if not all(out.through(node) for node in nodes[floor + 1 :]):
        return None
    try:
        levels = np.asarray(out.high / out.scale)
        checks: list[tuple[Array, Any]] = [
            (into.shift, 0.5),
            (into.scale * out.scale, 1.0),
            (out.shift, 0.0),
            (out.low, 0.0),
            (levels, np.round(levels)),
        ]
    except ValueError:  # laid over different features
        return None
    if not all(np.allclose(mine, right, rtol=CLOSE, atol=CLOSE) for mine, right in checks):
        return None
    if not np.isfinite(levels).all() or levels.min() < 1 - CLOSE:
        return None
    return Steps(np.atleast_1d(out.high), round(float(levels.max())))


def _replaced(
    graph: ir.Graph, chain: list[str], nodes: dict[str, ir.Node], edges: list[Edge]
) -> tuple[dict[str, ir.Node], list[Edge]]:
    shape = next(iter((graph.nodes[chain[0]].input_type or {}).values()))
    first, last, gone = chain[0], chain[-1], set(chain[:-1])
    kept = {
        name: ir.ReLU(int(shape[0])) if name == last else node
        for name, node in nodes.items()
        if name not in gone
    }
    inner = set(itertools.pairwise(chain))
    moved = [(a, last if b == first else b) for a, b in edges if (a, b) not in inner]
    return kept, moved
