"""A neuron in torch's own operations, its coefficients constants of the program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from t1c import bridge
from t1c.bridge.engine.kernels import definition
from t1c.bridge.engine.kernels.rule import COEFFICIENTS, Rule
from t1c.bridge.engine.stateful import State, StatefulModule
from t1c.bridge.modules import NeuronModule
from t1c.ir.primitives.neuron import Neuron
from t1c.ir.shapes import as_shape


class PlainNeuron(StatefulModule):
    """A neuron whose step is the plain definition, which torch can capture.

    The coefficients are folded here, in float64, and cast once, as every engine does; what a step
    reads of them are buffers under their names.

    Args:
        neuron: the module of its node.
        features: the shape of what it takes, without batch.
        dtype: of the arithmetic.
    """

    def __init__(self, neuron: NeuronModule, features: torch.Size, dtype: torch.dtype) -> None:
        super().__init__()
        self.rule = neuron.rule
        self.state_names = neuron.state_names
        laid = neuron.laid(features, dtype, torch.device("cpu")).tensors
        self.unread = laid[0].new_zeros(())
        for name, value in zip(COEFFICIENTS, laid, strict=True):
            if name in _read(self.rule):
                self.register_buffer(name, value.detach().clone())

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step."""
        c: Sequence[Tensor] = [getattr(self, name, self.unread) for name in COEFFICIENTS]
        return definition.step(x, state, c, self.rule)


def plain_neurons(dtype: torch.dtype) -> Callable[[Neuron], PlainNeuron]:
    """What makes the module of a neuron's node."""

    def make(node: Neuron) -> PlainNeuron:
        features = as_shape((node.input_type or {}).get("input")) or ()
        module = cast(NeuronModule, bridge.node_to_module(node, dtype=dtype))
        return PlainNeuron(module, torch.Size(features), dtype)

    return make


def _read(rule: Rule) -> set[str]:
    """The coefficients that a step by this rule reads."""
    names = {"beta", "gain", "leak"}
    if rule.reset != "no_fire":
        names.add("v_threshold")
    if rule.reset in ("value", "lower"):
        names.add("v_reset")
    if rule.synapse:
        names |= {"alpha", "weight"}
    return names | ({"v_min"} if rule.bounded else set())
