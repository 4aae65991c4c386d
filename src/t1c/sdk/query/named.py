"""Nodes by their names, in nested graphs too."""

from __future__ import annotations

from t1c import ir
from t1c.ir.errors import InputError, Problem


def find_node(graph: ir.Graph, name: str) -> ir.Node:
    """The node of that name; ``g/n`` is node ``n`` of the nested graph ``g``.

    Raises:
        InputError: there is none; the message names near ones.
    """
    return home_of(graph, name).nodes[name.rpartition("/")[2]]


def home_of(graph: ir.Graph, name: str) -> ir.Graph:
    """The graph in which the node of that name stands, ``graph`` or one nested in it.

    Raises:
        InputError: there is no such node.
    """
    *way, last = name.split("/")
    home = graph
    for step in way:
        inner = home.nodes.get(step)
        if not isinstance(inner, ir.Graph):
            raise InputError(_unknown(graph, name))
        home = inner
    if last not in home.nodes:
        raise InputError(_unknown(graph, name))
    return home


def _unknown(graph: ir.Graph, name: str) -> Problem:
    import difflib  # rarely needed, and every command loads this file

    names = [*graph.nodes, *graph.flat().nodes]
    near = difflib.get_close_matches(name, names, n=3) or list(graph.nodes)[:5]
    listed = ", ".join(map(repr, dict.fromkeys(near)))
    return Problem(f"there is no node {name!r}", f"a node of the graph, such as {listed}")
