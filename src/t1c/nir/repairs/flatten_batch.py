"""``flatten-batch``: a Flatten's dimensions are counted with a batch axis, as PyTorch counts.

NIR counts them without: ``start_dim=1``, which in PyTorch keeps the batch and flattens all else,
keeps the first feature axis in NIR, and a Linear behind it does not fit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from t1c.ir.errors import GraphError, Problem

from ..raw import NirGraph, NirNode
from .ranks import ranks
from .repair import Remarks, Repair


def mend(raw: NirGraph) -> tuple[NirGraph, Remarks]:
    """The graph with every Flatten's dimensions counted without a batch axis.

    Raises:
        GraphError: a Flatten begins at 0, which counted so would flatten the batch.
    """
    remarks: Remarks = []
    if any(_start(node) > 0 for _, node in raw.walk() if node.type == "Flatten"):
        return _graph(raw, "", ranks(raw), remarks), remarks
    return raw, remarks


def _graph(raw: NirGraph, path: str, known: dict[str, int], remarks: Remarks) -> NirGraph:
    nodes: dict[str, NirNode | NirGraph] = {}
    for name, node in raw.nodes.items():
        if isinstance(node, NirGraph):
            nodes[name] = _graph(node, f"{path}{name}/", known, remarks)
        elif node.type == "Flatten":
            nodes[name] = _flatten(node, path + name, known.get(path + name), remarks)
        else:
            nodes[name] = node
    return replace(raw, nodes=nodes)


def _flatten(node: NirNode, place: str, rank: int | None, remarks: Remarks) -> NirNode:
    start, end = _start(node), int(node.fields.get("end_dim", -1))
    if start == 0 or end == 0:
        raise GraphError(
            Problem(
                f"start_dim={start}, end_dim={end}: counted with a batch axis, it flattens that",
                "dimensions behind the batch",
                "It is not this that is wrong with the file.",
                f"node {place!r} (Flatten)",
            )
        )
    mended = [dim - 1 if dim > 0 else dim for dim in (start, end)]
    remarks.append(
        f"Flatten {place!r}: start_dim={start}, end_dim={end} became start_dim={mended[0]}, "
        f"end_dim={mended[1]}."
    )
    fields = {**node.fields, "start_dim": np.int64(mended[0]), "end_dim": np.int64(mended[1])}
    shape = fields.get("input_type")
    if isinstance(shape, np.ndarray) and rank is not None and shape.size == rank + 1:
        fields["input_type"] = shape[1:].copy()
    return replace(node, fields=fields)


def _start(node: NirNode) -> int:
    return int(node.fields.get("start_dim", 1))


FLATTEN_BATCH = Repair("flatten-batch", "a Flatten counts its dimensions with a batch axis", mend)
