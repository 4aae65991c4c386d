"""Shapes along the edges of a NIR graph, before its Outputs are known to be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from t1c import ir
from t1c.ir.errors import ShapeError
from t1c.ir.flat import output_ports
from t1c.ir.shapes import Shape as Sizes
from t1c.ir.topology import Edge, Topology

from .raw import NirGraph, NirNode


def arriving_shapes(nodes: Mapping[str, ir.Node], edges: Sequence[Edge]) -> dict[str, Sizes]:
    """The shape that each node sends (the first one, where there are several).

    All NIR nodes add what arrives, so that one known input is enough to go on, around loops too.
    """
    topology = Topology(nodes, edges)
    ports = output_ports(nodes, edges)
    sent: dict[str, tuple[Sizes, ...]] = {}
    for part in topology.parts():
        waiting = [name for name in part if not isinstance(nodes[name], ir.Output)]
        while waiting:
            left = []
            for name in waiting:
                sources = [s for s in topology.before[name] if s in sent]
                try:
                    arriving = [sent[s][ports[s, name]] for s in sources]
                    shapes = nodes[name].shapes(arriving)[1]
                except (ShapeError, IndexError):
                    shapes = ()
                if shapes:
                    sent[name] = shapes
                else:
                    left.append(name)
            if len(left) == len(waiting):
                break
            waiting = left
    return {name: shapes[0] for name, shapes in sent.items()}


def own_rank(node: NirNode | NirGraph | None) -> int | None:
    """How many dimensions NIR gives the input of a node, where its type or parameters tell."""
    if not isinstance(node, NirNode):
        return None
    fixed = {"Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3}
    if node.type in fixed:
        return fixed[node.type]
    if node.type in ("Affine", "Linear"):
        return np.ndim(node.fields.get("weight", 0)) - 1 or None
    ranks = {np.ndim(value) for value in node.fields.values() if np.size(value) > 1}
    return ranks.pop() if len(ranks) == 1 and node.type not in ("Flatten", "Output") else None
