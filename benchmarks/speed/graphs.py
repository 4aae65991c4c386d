"""A network as a graph of t1c.ir or of talon.ir, which share their primitives' names."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from .networks import TAU, Conv, Dense, Flatten, Layer, Lif, Network, Norm


def graph(ir: Any, network: Network) -> Any:
    """The graph, by the package `ir`; a feedback becomes an Affine from the LIF to itself."""
    nodes = {"input": ir.Input(np.array(network.shape))}
    edges: list[tuple[str, str]] = []
    last = "input"
    for k, layer in enumerate(network.layers):
        name = f"{type(layer).__name__.lower()}{k}"
        nodes[name] = _node(ir, layer)
        edges.append((last, name))
        if isinstance(layer, Lif) and layer.feedback is not None:
            back = f"feedback{k}"
            bias = np.zeros(len(layer.feedback), np.float32)
            nodes[back] = ir.Affine(_array(layer.feedback), bias)
            edges += [(name, back), (back, name)]
        last = name
    nodes["output"] = ir.Output(np.array(network.layers[-1].shape))
    edges.append((last, "output"))
    cyclic = any(isinstance(n, Lif) and n.feedback is not None for n in network.layers)
    return ir.Graph(nodes, edges, allow_cycles=cyclic)


def _node(ir: Any, layer: Layer) -> Any:
    match layer:
        case Dense(weight, bias):
            return ir.Affine(_array(weight), _array(bias))
        case Conv(weight, bias):
            return ir.Conv2d(_array(weight), _array(bias), padding=(1, 1))
        case Norm(weight, bias):
            size = len(weight)
            start = np.zeros(size, np.float32), np.ones(size, np.float32)
            given = _array(weight), _array(bias)
            return ir.BatchNorm2d(size, *given, *start, statistics="sequence")
        case Lif(shape, threshold):
            # Per neuron, or per channel of a map.
            ones = np.ones((shape[0],) + (1,) * (len(shape) - 1), np.float32)
            return ir.LIF(TAU * ones, TAU * ones, 0 * ones, threshold * ones)
        case Flatten():
            return ir.Flatten(start_dim=0)
        case _:
            return ir.MaxPool2d(np.array([2, 2]))


def _array(x: Tensor) -> Any:
    return x.cpu().numpy().copy()
