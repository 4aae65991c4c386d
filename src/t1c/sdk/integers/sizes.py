"""How many bytes the numbers of a graph take."""

from __future__ import annotations

from typing import Any

from t1c import ir
from t1c.ir.integers import KEY


def weight_bits_of(node: ir.Node) -> int | None:
    """How many bits the weights of a quantised layer have; None for other nodes."""
    note = node.metadata.get(KEY)
    bits = note.get("weight_bits") if isinstance(note, dict) else None
    return bits if isinstance(bits, int) else None


def layer_bytes(node: Any, accumulator_bits: int) -> int:
    """What the weights and biases of a quantised layer take, weights packed bit by bit."""
    bits = weight_bits_of(node) or 8 * int(node.weight.itemsize)
    bias = getattr(node, "bias", None)
    biases = 0 if bias is None or not bias.any() else int(bias.size)
    weights = int(node.weight.size)
    return -(-weights * bits // 8) - (-biases * accumulator_bits // 8)


def weights_bytes(graph: ir.Graph) -> int:
    """What the weights and biases of all quantised layers take; a bias of zeros takes nothing.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> note = {"quantized": {"unit": 0.5, "weight_bits": 4}}
        >>> fc = ir.SpikingAffine(np.ones((3, 5), np.int8), np.zeros(3), metadata=note)
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((5,)), "fc": fc, "out": ir.Output((3,))},
        ...     [("in", "fc"), ("fc", "out")],
        ... )
        >>> weights_bytes(graph)
        8
    """
    note: Any = graph.metadata.get(KEY) or {}
    bits = int(note.get("accumulator_bits", 32))
    return sum(
        layer_bytes(node, bits)
        for node in graph.flat().nodes.values()
        if weight_bits_of(node) is not None
    )


def parameter_bytes(node: ir.Node) -> int:
    """What the numbers of a node take as they are stored, those in a nested graph included."""
    if isinstance(node, ir.Graph):
        return sum(parameter_bytes(inner) for inner in node.nodes.values())
    return sum(p.nbytes for p in node.parameters().values())
