"""What rules look at: a graph, with what several of them ask for worked out once."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from t1c import ir
from t1c.ir.flat import Flat
from t1c.ir.primitives.neuron import SpikingNeuron
from t1c.ir.topology import Edge, Topology

from .bounds import Bounds, output_bounds

N = TypeVar("N", bound=ir.Node)

WEIGHTED = (
    *(ir.Affine, ir.SpikingAffine, ir.Linear, ir.Conv1d, ir.Conv2d, ir.Conv3d, ir.SepConv2d),
    *(ir.ConvTranspose1d, ir.ConvTranspose2d),
)
"""Layers of weights."""
NORMS = (ir.BatchNorm1d, ir.BatchNorm2d, ir.BatchNorm3d)
SILENT = (ir.Identity, ir.HybridRegion, ir.Dropout, ir.Flatten, ir.Reshape, ir.Transpose, ir.Slice)
"""What only passes values on, or moves them."""


@dataclass(frozen=True)
class Hit:
    """Where a rule applies.

    Attributes:
        node: the name; a node ``n`` of a nested graph ``g`` is ``g/n``; '' for the whole graph.
        message: what was found, with its numbers.
        suggestion: what to do about it, one sentence.
    """

    node: str
    message: str
    suggestion: str


class Subject:
    """A graph under inspection."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph

    @functools.cached_property
    def flat(self) -> Flat:
        """The graph with nested graphs inlined."""
        return self.graph.flat()

    @functools.cached_property
    def topology(self) -> Topology:
        """The edges of the flat graph, indexed."""
        return Topology(self.flat.nodes, self.flat.edges)

    @functools.cached_property
    def back(self) -> set[Edge]:
        """The edges of the flat graph that run back in time."""
        return set(self.flat.feedback_edges())

    @functools.cached_property
    def bounds(self) -> dict[str, Bounds]:
        """Between which numbers lies what arrives at each neuron and Threshold."""
        return output_bounds(self.flat, self.topology, self.back)

    def each(self, kind: type[N] | tuple[type[N], ...]) -> Iterator[tuple[str, N]]:
        """The nodes of a kind, nested ones too, by name."""
        for name, node in self.flat.nodes.items():
            if isinstance(node, kind):
                yield name, node

    def spiking(self) -> Iterator[tuple[str, SpikingNeuron]]:
        """The neurons that fire."""
        return self.each(SpikingNeuron)

    def sources(self, name: str) -> list[str]:
        """What leads to a node, through nodes that only pass values on."""
        return self._through(self.topology.before, name)

    def targets(self, name: str) -> list[str]:
        """What a node leads to, through nodes that only pass values on."""
        return self._through(self.topology.after, name)

    def _through(self, step: dict[str, list[str]], name: str) -> list[str]:
        found: dict[str, None] = {}
        seen, stack = {name}, list(reversed(step[name]))
        while stack:
            other = stack.pop()
            if other in seen:
                continue
            seen.add(other)
            if isinstance(self.flat.nodes[other], SILENT):
                stack += reversed(step[other])
            else:
                found[other] = None
        return list(found)


def some(names: list[str], most: int = 3) -> str:
    """Names as a message shows them: the first few, and how many more."""
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
