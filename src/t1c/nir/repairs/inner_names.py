"""``inner-names``: the edges of a subgraph name a node by less than its name.

A recurrent layer was written as a subgraph whose edges say ``lif`` where its node is ``lif1``. What
is meant is the node of that name and a number; it must be the only one, and no edge may name it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from t1c.ir.errors import GraphError, Problem

from ..raw import NirGraph, NirNode
from .repair import Remarks, Repair


def mend(raw: NirGraph) -> tuple[NirGraph, Remarks]:
    """The graph in which edges of subgraphs name the nodes that are there.

    Raises:
        GraphError: two nodes could be meant.
    """
    remarks: Remarks = []
    return _inside(raw, "", remarks), remarks


def _inside(raw: NirGraph, path: str, remarks: Remarks) -> NirGraph:
    """The graph with its subgraphs mended; its own edges stay."""
    nodes: dict[str, NirNode | NirGraph] = {}
    for name, node in raw.nodes.items():
        if isinstance(node, NirGraph):
            nodes[name] = _renamed(_inside(node, f"{path}{name}/", remarks), path + name, remarks)
        else:
            nodes[name] = node
    return replace(raw, nodes=nodes)


def _renamed(raw: NirGraph, place: str, remarks: Remarks) -> NirGraph:
    named = dict.fromkeys(name for edge in raw.edges for name in edge)
    meant: dict[str, str] = {}
    for name in [n for n in named if n not in raw.nodes]:
        numbered = re.compile(re.escape(name) + r"[0-9]+")
        found = [node for node in raw.nodes if node not in named and numbered.fullmatch(node)]
        if len(found) > 1:
            raise GraphError(
                Problem(
                    f"edges name {name!r}, which may be any of {', '.join(map(repr, found))}",
                    "one node of that name and a number",
                    "Rename it by hand.",
                    f"node {place!r} (NIRGraph)",
                )
            )
        if found:
            meant[name] = found[0]
            remarks.append(f"Subgraph {place!r}: edges name {name!r}, its node is {found[0]!r}.")
    if not meant:
        return raw
    return replace(raw, edges=[(meant.get(a, a), meant.get(b, b)) for a, b in raw.edges])


INNER_NAMES = Repair("inner-names", "edges inside a subgraph name a node without its number", mend)
