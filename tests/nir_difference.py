"""What differs between two NIR graphs, bit for bit."""

from collections.abc import Mapping
from typing import Any

from t1c.nir.raw import NirGraph, NirNode, same


def difference(a: NirGraph, b: NirGraph, where: str = "") -> list[str]:
    """What differs between two graphs, one line each; empty if they are equal."""
    found = []
    if list(a.nodes) != list(b.nodes):
        found.append(f"{where}nodes: {list(a.nodes)} and {list(b.nodes)}")
    if a.edges != b.edges:
        found.append(f"{where}edges: {a.edges} and {b.edges}")
    found += _unequal(a.metadata, b.metadata, f"{where}metadata")
    for name in [n for n in a.nodes if n in b.nodes]:
        place, mine, theirs = f"{where}node {name!r}, ", a.nodes[name], b.nodes[name]
        if isinstance(mine, NirGraph) and isinstance(theirs, NirGraph):
            found += difference(mine, theirs, place)
        elif isinstance(mine, NirNode) and isinstance(theirs, NirNode):
            if mine.type != theirs.type:
                found.append(f"{place}type: {mine.type} and {theirs.type}")
            found += _unequal(mine.fields, theirs.fields, f"{place}field")
            found += _unequal(mine.metadata, theirs.metadata, f"{place}metadata")
        else:
            found.append(f"{place}type: a node and a subgraph")
    return found


def _unequal(a: Mapping[str, Any], b: Mapping[str, Any], where: str) -> list[str]:
    found = []
    for key in dict.fromkeys([*a, *b]):
        if key not in a or key not in b:
            found.append(f"{where} {key!r}: only in the {'first' if key in a else 'second'}")
        elif isinstance(a[key], Mapping) and isinstance(b[key], Mapping):
            found += _unequal(a[key], b[key], f"{where} {key!r},")
        elif isinstance(a[key], Mapping) or isinstance(b[key], Mapping):
            found.append(f"{where} {key!r}: a group and a value")
        elif not same(a[key], b[key]):
            found.append(f"{where} {key!r}: {a[key]!r} and {b[key]!r}")
    return found
