"""Activation functions <-> the torch modules of the same names."""

from __future__ import annotations

import torch
from torch import nn

from t1c import ir

from ..engine.ordered import as_written, in_order
from .by_reference import by_reference
from .exporting import Shape, array, channels, exports
from .registry import imports, load


@imports(ir.ReLU)
def _relu(node: ir.ReLU, dtype: torch.dtype) -> nn.Module:
    return nn.LeakyReLU(node.negative_slope) if node.negative_slope else nn.ReLU()


@imports(ir.Sigmoid)
def _sigmoid(node: ir.Sigmoid, dtype: torch.dtype) -> nn.Module:
    return nn.Sigmoid()


@imports(ir.Tanh)
def _tanh(node: ir.Tanh, dtype: torch.dtype) -> nn.Module:
    return nn.Tanh()


@imports(ir.Softmax)
def _softmax(node: ir.Softmax, dtype: torch.dtype) -> nn.Module:
    return nn.Softmax(node.dim)


@imports(ir.LogSoftmax)
def _log_softmax(node: ir.LogSoftmax, dtype: torch.dtype) -> nn.Module:
    return nn.LogSoftmax(node.dim)


@imports(ir.GELU)
def _gelu(node: ir.GELU, dtype: torch.dtype) -> nn.Module:
    return nn.GELU("tanh" if node.approximate else "none")


@imports(ir.ELU)
def _elu(node: ir.ELU, dtype: torch.dtype) -> nn.Module:
    return nn.ELU(node.alpha)


@imports(ir.PReLU)
def _prelu(node: ir.PReLU, dtype: torch.dtype) -> nn.Module:
    module = nn.PReLU(node.weight.size, dtype=dtype)
    load(module, "weight", node.weight)
    return module


@exports(nn.ReLU)
def _relu_node(module: nn.ReLU, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.ReLU(channels(entering))


@exports(nn.LeakyReLU)
def _leaky_relu_node(module: nn.LeakyReLU, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.ReLU(channels(entering), module.negative_slope)


@exports(nn.Sigmoid)
def _sigmoid_node(module: nn.Sigmoid, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Sigmoid(channels(entering))


@exports(nn.Tanh)
def _tanh_node(module: nn.Tanh, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Tanh(channels(entering))


@exports(nn.Softmax)
def _softmax_node(module: nn.Softmax, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Softmax(channels(entering), _dim(module.dim, entering))


@exports(nn.LogSoftmax)
def _log_softmax_node(module: nn.LogSoftmax, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.LogSoftmax(channels(entering), _dim(module.dim, entering))


def _dim(dim: int | None, entering: Shape) -> int:
    """The axis as torch counts it, 0 for the batch."""
    if dim is None:
        # torch's own choice for a softmax that does not say.
        return 0 if len(entering) in (0, 2) else 1
    return 0 if dim == -len(entering) - 1 else dim


@exports(nn.GELU)
def _gelu_node(module: nn.GELU, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.GELU(channels(entering), module.approximate == "tanh")


@exports(nn.ELU)
def _elu_node(module: nn.ELU, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.ELU(channels(entering), module.alpha)


@exports(nn.PReLU)
def _prelu_node(module: nn.PReLU, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.PReLU(channels(entering), array(module.weight))


def _unwritten_gate(module: nn.GELU) -> str | None:
    exact = "a GELU whose gate is the error function, of which each machine has its own"
    return None if module.approximate == "tanh" else exact


as_written(nn.ReLU, nn.PReLU)
in_order(nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softmax, nn.LogSoftmax, nn.ELU)(by_reference)
in_order(nn.GELU, unless=_unwritten_gate)(by_reference)
