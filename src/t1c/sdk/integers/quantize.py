"""A graph of real numbers made one of integers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from t1c import ir
from t1c.ir.errors import GraphWarning, UnsupportedError
from t1c.ir.integers import KEY, integer_problems
from t1c.nir import GraphSource, read_graph

from ..change.fold_batchnorm import fold_batchnorm
from ..change.prune_disconnected import prune_disconnected
from . import rules
from .borders import extent
from .builder import SUM, Builder
from .calibrate import Calibration
from .options import Fit, Options, Scales
from .prepare import inlined, parted


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
        (array([[127, -64]], dtype=int8), array([25], dtype=int16))
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
    return Quantizer(read_graph(source, dt), calibrate, steps).graph_of(options)


class Quantizer:
    """A graph made ready once, to be said in integers in several ways.

    Args:
        graph: the graph.
        calibrate: as of ``quantize``.
        steps: as there.

    Attributes:
        graph: with batch norms folded, pruned, nested graphs inlined.
        seen: what was seen on the calibration inputs, if there were any.
    """

    def __init__(self, graph: ir.Graph, calibrate: Any = None, steps: int | None = None) -> None:
        self.graph = parted(inlined(fold_batchnorm(prune_disconnected(graph))))
        self.seen = None if calibrate is None else Calibration(self.graph, calibrate, steps)

    def graph_of(self, options: Options) -> ir.Graph:
        """The graph in integers.

        Raises:
            UnsupportedError: no integers say what a node does.
        """
        options.check_names(self.graph)
        made = self._built(options, frozenset())
        needless = _needless(made)
        if needless:
            made = self._built(options, needless)
        problems = integer_problems(made)
        if problems:
            raise UnsupportedError(problems, "no bound holds what the integers get to")
        return made

    def _built(self, options: Options, needless: frozenset[str]) -> ir.Graph:
        ranges = ir.Ranges(self.graph, _arriving(self.graph, self.seen, options))
        builder = Builder(self.graph, options, self.seen, ranges, rules.RULES, needless)
        builder.build()
        note: dict[str, Any] = {
            "accumulator_bits": options.accumulator_bits,
            "state_bits": options.state_bits,
            "input_bits": options.input_bits,
            "decay_bits": options.decay_bits,
        }
        kept = [*options.keep, *builder.given_back]
        if kept:
            note["keep"] = kept
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GraphWarning)
            return ir.Graph(
                builder.nodes,
                builder.edges,
                {**self.graph.metadata, KEY: note},
                allow_cycles=self.graph.allow_cycles,
                allow_nonfinite=self.graph.allow_nonfinite,
            )


def _arriving(
    graph: ir.Graph, seen: Calibration | None, options: Options
) -> dict[str, ir.Interval]:
    """What is known of the Inputs."""
    found = {}
    for name in graph.inputs():
        low, high, whole = extent(graph, seen, options, name)
        found[name] = ir.Interval(low, high, 1.0 if whole else 0.0)
    return found


def _needless(graph: ir.Graph) -> frozenset[str]:
    """The Clips of sums that cannot act, whatever the inputs."""
    found, nodes = set(), graph.flat().nodes
    for name, told in ir.Ranges(graph).items():
        node: Any = nodes[name] if name.endswith(SUM) else None
        if not isinstance(node, ir.Clip) or node.low is None or node.high is None:
            continue
        if node.low.max() <= told.arriving.low and told.arriving.high <= node.high.min():
            found.add(name)
    return frozenset(found)
