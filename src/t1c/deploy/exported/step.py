"""One step of a network as a module that torch can capture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from t1c import bridge
from t1c.ir.primitives.neuron import Neuron

from .neuron import plain_neurons
from .ports import Ports


class Step(nn.Module):
    """One step: (output, state) from (x, state).

    Several inputs or outputs are dicts by name, one is a tensor. The state is a dict of tensors,
    ``node.variable`` -> (B, *features), all of them, in the order of ``ports.rest``. Every tensor
    that comes out has memory of its own and is laid out in rows: what takes it back in may rely on
    that, as what AOTInductor compiles does without a look.

    Args:
        network: an executor that returns its state.
        ports: its inputs, outputs and states.
    """

    def __init__(self, network: bridge.GraphExecutor, ports: Ports) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(ports.rest)

    def forward(self, x: Any, state: Mapping[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
        """One time step of x (B, *shape)."""
        by_node: dict[str, list[Tensor]] = {}
        for name in self.names:
            node, _, _ = name.rpartition(".")
            by_node.setdefault(node, []).append(state[name])
        y, after = self.network(x, {node: tuple(own) for node, own in by_node.items()})
        values = [v for node in by_node for v in after[node]]
        output = {n: own(v) for n, v in y.items()} if isinstance(y, dict) else own(y)
        return output, {n: own(v) for n, v in zip(self.names, values, strict=True)}


def own(value: Tensor) -> Tensor:
    """The same numbers in memory of their own, laid out in rows."""
    return value.clone(memory_format=torch.contiguous_format)


def plain_network(graph: Any, dtype: torch.dtype) -> bridge.GraphExecutor:
    """The executor of a graph in which every neuron is torch's own operations.

    Raises:
        UnsupportedError: no module runs a node.
    """
    return bridge.ir_to_torch(
        graph,
        {Neuron: plain_neurons(dtype)},
        return_state=True,
        dtype=dtype,
        trainable=False,
    )
