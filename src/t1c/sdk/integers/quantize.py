"""A graph of real numbers made one of integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from t1c import ir
from t1c.nir import GraphSource, read_graph

from .options import Fit, Options, Scales
from .quantizer import Quantizer
from .search import search_bits


def quantize(
    source: GraphSource,
    weight_bits: int | Mapping[str, int] = 8,
    accumulator_bits: int = 16,
    state_bits: int = 16,
    *,
    calibrate: Any = None,
    inputs: Literal["spikes"] | tuple[float, float] | None = None,
    steps: int | None = None,
    search: int | None = None,
    input_bits: int = 8,
    decay_bits: int = 8,
    per_channel: bool = True,
    scales: Scales = "free",
    fit: Fit = "largest",
    readout: bool = True,
    keep: Sequence[str] = (),
    dt: float | None = None,
) -> ir.Graph:
    """The graph in integers: weights, sums, thresholds, decays and membranes.

    What comes out is an ordinary graph, whose numbers happen to be integers: everything that takes
    a graph runs it, and runs it exactly. docs/meaning.md says how numbers are rounded and where
    they saturate, docs/quantize.md shows how to choose the bits.

    Batch norms are folded first, dead ends dropped, nested graphs inlined (their nodes are named
    ``graph.node``). Each layer has integer weights with a scale for each output channel, which the
    thresholds behind it absorb; layers that meet in one neuron share it. A neuron becomes a small
    graph of integer operations with the name of the neuron. ``metadata['quantized']`` of each node
    tells ``unit``, what one of its integers stands for, and how many bits it has.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        weight_bits: of weights, 2 to 16; or layer -> bits, 8 for those it leaves out.
        accumulator_bits: of sums of weights: they are exact, then saturate, unless they provably
            cannot get there.
        state_bits: of membranes and synaptic currents, which saturate.
        calibrate: inputs as of ``as_samples`` on which to see how large numbers get; needs torch.
        inputs: 'spikes', or the least and the greatest number that Inputs bring, where that is not
            to be taken from ``calibrate``.
        steps: for how many steps to show what stands still.
        search: a budget in bytes for weights and biases: starts at ``weight_bits`` and takes away
            bits where that changes the outputs on ``calibrate`` least; see ``search_bits``.
        input_bits: of Inputs that bring more than spikes, and of what else reaches weights.
        decay_bits: of the factor of a decay, beta = q / 2**decay_bits.
        per_channel: one scale for each output channel; False: one for each layer.
        scales: 'free' or 'power_of_two'.
        fit: 'largest': the largest weight is the largest integer; 'least_squares': large weights
            are cut off where that leaves the smaller error, good for few bits.
        readout: give Outputs of membranes and sums their real unit back; False: integers leave.
        keep: nodes to leave in real numbers.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        UnsupportedError: no integers say what a node does; names it, and why.
        InputError: an argument is out of range, or the samples do not fit.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> one = np.array(1.0)
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "fc": ir.Affine(np.array([[0.5, -0.25]]), np.array([0.1])),
        ...      "lif": ir.LIF(np.array(4.0), np.array(4.0), 0 * one, one), "out": ir.Output((1,))},
        ...     [("in", "fc"), ("fc", "lif"), ("lif", "out")],
        ... )
        >>> small = quantize(graph, inputs="spikes")
        >>> small.nodes["fc"].weight, small.nodes["fc"].bias
        (array([[126, -63]], dtype=int8), array([25], dtype=int16))
    """
    options = Options(
        weight_bits=weight_bits,
        accumulator_bits=accumulator_bits,
        state_bits=state_bits,
        input_bits=input_bits,
        decay_bits=decay_bits,
        per_channel=per_channel,
        scales=scales,
        fit=fit,
        inputs=inputs,
        readout=readout,
        keep=tuple(keep) if not isinstance(keep, str) else keep,
    )
    quantizer = Quantizer(read_graph(source, dt), calibrate, steps)
    if search is not None:
        bits = search_bits(quantizer, options, search)
        options = dataclasses.replace(options, weight_bits=bits)
    return quantizer.graph_of(options)
