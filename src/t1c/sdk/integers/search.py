"""Bits for each layer, within a budget of bytes, chosen by what they do to the outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

from ..runner import import_bridge, import_torch
from .calibrate import PLAIN
from .options import WEIGHT_BITS, Options
from .quantizer import Quantizer
from .sizes import weight_bits_of, weights_bytes
from .weights import weight_of

MOST_SAMPLES = 64
"""Of the calibration inputs, how many the outputs are compared on."""


def search_bits(quantizer: Quantizer, options: Options, budget: int) -> dict[str, int]:
    """Layer -> bits with which weights and biases fit into a budget of bytes.

    Starts with the bits of the options. As long as it is too much, each layer in turn is tried with
    one bit less, the graph is run on the calibration inputs, and the layer is taken for which the
    squared error of the outputs, summed over time, grows least for each bit that is saved.

    Args:
        quantizer: of the graph, with calibration inputs.
        options: how the rest is done.
        budget: bytes, weights packed; see ``weights_bytes``.

    Raises:
        InputError: there are no calibration inputs, or fewest bits everywhere are too many bytes.
    """
    if quantizer.seen is None:
        raise InputError(Problem("no calibrate=", "inputs on which to compare", field="search"))
    graph = quantizer.graph_of(options)
    bits = {
        name: found
        for name, node in graph.nodes.items()
        if (found := weight_bits_of(node)) is not None and name in quantizer.graph.nodes
    }
    fewest = dict.fromkeys(bits, WEIGHT_BITS[0])
    least = weights_bytes(quantizer.graph_of(_with(options, fewest)))
    if least > budget:
        expected = f"at least {least}, what {WEIGHT_BITS[0]} bits everywhere take"
        raise InputError(Problem(f"{budget} bytes", expected, field="search"))
    compared = _Outputs(quantizer)
    size, error = weights_bytes(graph), compared.error(graph)
    while size > budget:
        tried = {}
        for name, width in bits.items():
            if width > WEIGHT_BITS[0]:
                less = quantizer.graph_of(_with(options, {**bits, name: width - 1}))
                # A bit of each weight is saved, also where that is less than a whole byte.
                count, worse = weight_of(less.nodes[name]).size, compared.error(less)
                tried[name] = (worse - error) / count, worse, weights_bytes(less)
        best = min(tried, key=tried.__getitem__)
        bits[best] -= 1
        _, error, size = tried[best]
    return bits


def _with(options: Options, bits: Mapping[str, int]) -> Options:
    return dataclasses.replace(options, weight_bits=dict(bits), readout=True)


class _Outputs:
    """What a graph answers on the calibration inputs, and how far others are off."""

    def __init__(self, quantizer: Quantizer) -> None:
        assert quantizer.seen is not None
        self._torch, self._bridge = import_torch(), import_bridge()
        self._inputs = {
            name: np.array(x[:, :MOST_SAMPLES], np.float32)
            for name, x in quantizer.seen.samples.inputs.items()
        }
        self._wanted = self._answers(quantizer.graph, False)

    def error(self, graph: ir.Graph) -> float:
        """The mean squared difference of the outputs, summed over time, all outputs together."""
        found = self._answers(graph, True)
        return sum(float(((found[n] - want) ** 2).mean()) for n, want in self._wanted.items())

    def _answers(self, graph: ir.Graph, integers: bool) -> dict[str, Array]:
        executor = self._bridge.ir_to_torch(
            graph, trainable=False, quantized=integers, kernels=PLAIN
        )
        dtype: Any = next((p.dtype for p in executor.parameters()), self._torch.float32)
        xs = {n: self._torch.from_numpy(x).to(dtype) for n, x in self._inputs.items()}
        with self._torch.no_grad():
            y, _ = executor.run(xs, collect="stack")
        named = y if isinstance(y, Mapping) else {next(iter(graph.outputs())): y}
        return {name: value.double().sum(0).numpy() for name, value in named.items()}
