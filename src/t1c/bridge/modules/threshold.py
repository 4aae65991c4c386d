"""ir.Threshold <-> ThresholdModule."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape

from ..engine.kernels.surrogate import Surrogated, spike
from ..engine.ordered import as_written
from ..engine.stateless import StatelessModule
from .exporting import Shape, array, exports
from .registry import imports, tensor


class ThresholdModule(Surrogated, StatelessModule):
    """1 where the input reaches (fires_at='gt': passes) the threshold, else 0; no memory.

    Its gradient is that of ``surrogate``.
    """

    threshold: Tensor

    def __init__(self, threshold: Tensor, fires_at: str = "ge") -> None:
        super().__init__()
        self.register_buffer("threshold", threshold)
        self.fires_at = fires_at

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to spikes of the same shape."""
        shape = parameter_shape(tuple(self.threshold.shape), tuple(x.shape[1:]))
        return spike(x, self.threshold.reshape(shape), self.fires_at, self.surrogate)


@imports(ir.Threshold)
def _threshold(node: ir.Threshold, dtype: torch.dtype) -> nn.Module:
    return ThresholdModule(tensor(node.threshold, dtype), node.fires_at)


@exports(ThresholdModule)
def _threshold_node(module: ThresholdModule, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Threshold(array(module.threshold), module.fires_at)


as_written(ThresholdModule)
