"""Whether a graph is one of integers, and in which floating-point format it is worked exactly.

A graph of integers is an ordinary graph whose numbers are integers, or lie on a grid that a shift
brings back to them: floats hold them exactly as long as they are small enough. Real numbers may
occur in three places. On the way in, an Input is brought to the grid: scaled by a power of two,
clipped and rounded, which gives the same integer in any format. On the way out, a Scale gives the
answer its unit back, and what follows it has neither weights nor memory. And nodes that somebody
asked to leave in real numbers are named in ``graph.metadata['quantized']['keep']``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .errors import Problem
from .graph import Graph
from .node import Node
from .primitives.border import Input, Output
from .primitives.elementwise import Clip, Unary
from .primitives.linear import Scale
from .primitives.merge import Concat, Skip
from .primitives.region import HybridRegion, Identity
from .primitives.reshape import Flatten, Reshape, Slice, Transpose
from .primitives.split import ChannelSplit
from .ranges import MANTISSA, Ranges
from .topology import Topology

KEY = "quantized"
"""Where a graph keeps in its metadata how it was made one of integers."""

MOVES = (Identity, HybridRegion, Flatten, Reshape, Slice, Transpose, ChannelSplit)
"""What moves numbers and changes none."""
ROUNDINGS = ("floor", "round")


def integer_problems(graph: Graph, ranges: Ranges | None = None) -> list[Problem]:
    """One problem for each node that works with numbers that are not on a bounded grid.

    Args:
        graph: the graph.
        ranges: what is known of its numbers; None: it is worked out, from any real inputs.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "fc": ir.Linear(np.array([[0.1, 0.2]])),
        ...      "out": ir.Output((1,))},
        ...     [("in", "fc"), ("fc", "out")],
        ... )
        >>> [problem.where for problem in integer_problems(graph)]
        ["node 'fc' (Linear)"]
    """
    ranges = ranges or Ranges(graph)
    flat = graph.flat()
    topology = Topology(flat.nodes, flat.edges)
    entering = _entering(flat.nodes, topology)
    leaving = _leaving(flat.nodes, topology)
    kept = kept_names(graph)
    found = []
    for name, node in flat.nodes.items():
        if ranges[name].exact or name in entering or name in leaving or is_kept(name, kept):
            continue
        told = ranges[name]
        on_a_grid = all(n.unit for n in (*told.sent, *told.state, told.arriving))
        what = "integers that no bound holds" if on_a_grid else "real numbers"
        found.append(
            Problem(
                f"it works with {what}",
                "integers between bounds",
                "Make the graph one of integers with sdk.quantize, or name the node in its keep=.",
                f"node {name!r} ({node.primitive})",
            )
        )
    return found


def exact_formats(graph: Graph, ranges: Ranges | None = None) -> dict[str, list[str]]:
    """For each float format, the nodes of a graph of integers that it may not work exactly.

    Args:
        graph: a graph without ``integer_problems``.
        ranges: as there.

    Returns:
        'float32', 'float64' and other formats -> names as in ``flat()``; empty where all are exact.
    """
    ranges = ranges or Ranges(graph)
    flat = graph.flat()
    topology = Topology(flat.nodes, flat.edges)
    real = _entering(flat.nodes, topology) | _leaving(flat.nodes, topology)
    kept = kept_names(graph)
    return {
        dtype: [
            name
            for name in ranges.inexact(dtype)
            if not ((name in real or is_kept(name, kept)) and not ranges[name].exact)
        ]
        for dtype in MANTISSA
    }


def kept_names(graph: Graph) -> tuple[str, ...]:
    """The nodes that somebody asked to leave in real numbers."""
    note = graph.metadata.get(KEY)
    names = note.get("keep", ()) if isinstance(note, Mapping) else ()
    return tuple(map(str, np.atleast_1d(np.asarray(names, object)).tolist()))


def is_kept(name: str, kept: tuple[str, ...]) -> bool:
    """Whether a node, or a graph that it is nested in, is one of these."""
    return any(name == k or name.startswith((f"{k}/", f"{k}.")) for k in kept)


def _entering(nodes: Mapping[str, Node], topology: Topology) -> set[str]:
    """What brings Inputs to a grid, and the rounding that ends it."""
    found = {name for name, node in nodes.items() if isinstance(node, Input)}
    rounded: set[str] = set()
    ready = list(found)
    for name in ready:  # grows as it is walked
        for target in topology.after[name]:
            if target in found or not all(s in found for s in topology.before[target]):
                continue
            node = nodes[target]
            if isinstance(node, Unary) and node.op in ROUNDINGS:
                rounded.add(target)
            elif _keeps_bits(node, len(topology.before[target])):
                found.add(target)
                ready.append(target)
    return found | rounded


def _keeps_bits(node: Node, edges: int) -> bool:
    """Whether a float that passes keeps its bits, but for the exponent."""
    if isinstance(node, Scale):
        part, _ = np.frexp(np.abs(node.scale.astype(np.float64)))
        return edges == 1 and bool((part == 0.5).all())
    return isinstance(node, Concat) or (edges == 1 and isinstance(node, (*MOVES, Clip, Skip)))


def _leaving(nodes: Mapping[str, Node], topology: Topology) -> set[str]:
    """What follows the last weights and the last memory."""
    found: set[str] = set()
    waiting = [name for name, node in nodes.items() if isinstance(node, Output)]
    while waiting:
        name = waiting.pop()
        node = nodes[name]
        weighs = type(node).macs is not Node.macs
        if name in found or weighs or node.state_names:
            continue
        if all(target in found for target in topology.after[name]):
            found.add(name)
            waiting += topology.before[name]
    return found
