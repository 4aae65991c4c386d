"""What nodes send on data: spikes, rates, and neurons that never or always fire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array

from .neurons import fires, is_neuron

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class NodeActivity:
    """What one node sent in all steps of all samples.

    Attributes:
        name: of the node; ``graph/node`` of one in a nested graph.
        type: the primitive.
        spiking: whether what it sends are spikes, and not activations of a ReLU or Sigmoid.
        neurons: how many it has.
        spikes: the sum of what it sent: of spikes, how many there were; None of activations.
        rate: spikes per neuron and step, on average; None of activations.
        sparsity: the share of values that were zero.
        dead: neurons that never sent anything but zero.
        saturated: neurons that sent something in nearly every step: see ``profile_graph``.
        active: how often each neuron sent something but zero, integers of the shape of the node.
    """

    name: str
    type: str
    spiking: bool
    neurons: int
    spikes: float | None
    rate: float | None
    sparsity: float
    dead: int
    saturated: int
    active: Array = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The attributes under their names, but for ``active``, which may be large."""
        names = [each.name for each in fields(self) if each.name != "active"]
        return {name: getattr(self, name) for name in names}


def watched(graph: ir.Graph, prefix: str = "") -> Iterator[tuple[str, ir.Node]]:
    """The nodes whose activity is told, by name: spiking neurons, Thresholds, ReLU and Sigmoid.

    These are what NeuroBench takes activations of. A graph that is a neuron is one of them.
    """
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph) and not is_neuron(node):
            yield from watched(node, f"{prefix}{name}/")
        elif fires(node) or _activates(node):
            yield prefix + name, node


def _activates(node: ir.Node) -> bool:
    """Whether NeuroBench counts a node's zeros though it sends no spikes: nn.ReLU, nn.Sigmoid."""
    return isinstance(node, ir.Sigmoid) or (isinstance(node, ir.ReLU) and not node.negative_slope)


class ActivityCounter:
    """Counts what nodes send, piece by piece.

    Args:
        nodes: by name, as ``watched`` gives them.
    """

    def __init__(self, nodes: Mapping[str, ir.Node]) -> None:
        self._nodes = dict(nodes)
        self._active: dict[str, Array] = {}
        self._sums = dict.fromkeys(self._nodes, 0.0)
        self._values = 0

    @property
    def names(self) -> list[str]:
        """What has to be recorded."""
        return list(self._nodes)

    def take(self, recorded: Mapping[str, torch.Tensor]) -> None:
        """What was recorded in some steps of some samples, (T, B, *shape)."""
        for name in self._nodes:
            y = recorded[name]
            count = (y != 0).sum((0, 1)).numpy()
            self._active[name] = self._active.get(name, 0) + count
            self._sums[name] += float(y.double().sum())
        self._values += len(y) * y.shape[1] if self._nodes else 0

    def result(self, saturated: float) -> tuple[NodeActivity, ...]:
        """One entry for each node; ``saturated``: from which share of steps on it is that."""
        return tuple(self._one(name, node, saturated) for name, node in self._nodes.items())

    def _one(self, name: str, node: ir.Node, saturated: float) -> NodeActivity:
        active, times, spiking = self._active[name], self._values, fires(node)
        total: Any = active.size * times
        return NodeActivity(
            name=name,
            type=node.primitive,
            spiking=spiking,
            neurons=active.size,
            spikes=self._sums[name] if spiking else None,
            rate=self._sums[name] / total if spiking else None,
            sparsity=1 - int(active.sum()) / total,
            dead=int((active == 0).sum()),
            saturated=int((active >= saturated * times).sum()),
            active=np.asarray(active),
        )


def sparsity_of(nodes: tuple[NodeActivity, ...]) -> float | None:
    """The share of zeros in all that these nodes sent; None without nodes.

    NeuroBench's activation sparsity.
    """
    total = sum(node.neurons for node in nodes)
    return sum(node.sparsity * node.neurons for node in nodes) / total if total else None
