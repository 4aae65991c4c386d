"""``flattened-names``: a layer was taken apart, and the edges still name the layer.

A recurrent layer ``lif1`` became the nodes ``lif1.lif`` and ``lif1.w_rec``, with the edges between
these two, but those that lead to the layer and away from it still say ``lif1``. Both mean its
neuron. An edge from ``lif1`` to itself is the recurrence: through ``lif1.w_rec``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from t1c.ir.errors import GraphError, Problem

from ..raw import Edges, NirGraph, NirNode
from .repair import Remarks, Repair

NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")


def mend(raw: NirGraph) -> tuple[NirGraph, Remarks]:
    """The graph in which edges lead to the neuron of a layer that was taken apart, and from it.

    Raises:
        GraphError: a layer has no neuron, or several, or a part that its edges do not name.
    """
    remarks: Remarks = []
    edges = list(raw.edges)
    for layer in dict.fromkeys(n for edge in raw.edges for n in edge if n not in raw.nodes):
        parts = {n: v for n, v in raw.nodes.items() if n.startswith(f"{layer}.")}
        if parts:
            edges = _led_to_neuron(edges, layer, parts, remarks)
    if not remarks:
        return raw, []
    doubled = len(edges) - len(dict.fromkeys(edges))
    if doubled:
        remarks.append(f"{doubled} edges were there already, and count once.")
    return replace(raw, edges=list(dict.fromkeys(edges))), remarks


def _led_to_neuron(
    edges: Edges, layer: str, parts: dict[str, NirNode | NirGraph], remarks: Remarks
) -> Edges:
    neurons = [n for n, v in parts.items() if isinstance(v, NirNode) and v.type in NEURONS]
    if len(neurons) != 1:
        raise _unclear(
            layer, f"{len(neurons)} neurons among {', '.join(map(repr, parts))}", "one neuron"
        )
    (neuron,) = neurons
    mended = list(_mended(edges, layer, neuron, [n for n in parts if n != neuron]))
    reached = {name for edge in mended for name in edge}
    if lost := [name for name in parts if name not in reached]:
        raise _unclear(layer, f"no edge names {', '.join(map(repr, lost))}", "edges to every part")
    remarks.append(f"Edges name {layer!r}, which became {neuron!r}.")
    return mended


def _mended(edges: Edges, layer: str, neuron: str, rest: list[str]) -> Iterator[tuple[str, str]]:
    """The edges, in order; one from the layer to itself goes through the rest of it."""
    for source, target in edges:
        if (source, target) != (layer, layer):
            yield (
                neuron if source == layer else source,
                neuron if target == layer else target,
            )
        elif len(rest) == 1:
            yield neuron, rest[0]
            yield rest[0], neuron
        else:
            raise _unclear(
                layer, f"an edge to itself, and {len(rest)} parts beside its neuron", "one part"
            )


def _unclear(layer: str, found: str, expected: str) -> GraphError:
    return GraphError(
        Problem(
            f"edges name {layer!r}, which was taken apart: {found}",
            expected,
            "Mend the edges by hand.",
        )
    )


FLATTENED_NAMES = Repair(
    "flattened-names", "edges name a layer whose parts are nodes of their own", mend
)
