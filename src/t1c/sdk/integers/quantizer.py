"""The steps by which a graph becomes one of integers."""

from __future__ import annotations

import warnings
from typing import Any

from t1c import ir
from t1c.ir.errors import GraphWarning, UnsupportedError
from t1c.ir.integers import KEY, integer_problems

from ..change.fold_batchnorm import fold_batchnorm
from ..change.prune_disconnected import prune_disconnected
from . import rules
from .borders import extent
from .builder import SUM, Builder
from .calibrate import Calibration
from .options import Options
from .prepare import plain


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
        self.graph = plain(fold_batchnorm(prune_disconnected(graph)))
        self.seen = None if calibrate is None else Calibration(self.graph, calibrate, steps)
        self._ranges: dict[tuple[tuple[str, ir.Interval], ...], ir.Ranges] = {}

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
        arriving = _arriving(self.graph, self.seen, options)
        key = tuple(arriving.items())
        if key not in self._ranges:
            # What arrives does not depend on the bits of weights, which a search tries.
            self._ranges[key] = ir.Ranges(self.graph, arriving)
        ranges = self._ranges[key]
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
