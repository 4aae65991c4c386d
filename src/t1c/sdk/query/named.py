"""Nodes by their names, in nested graphs too."""

from __future__ import annotations

import itertools
from collections.abc import Collection

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.guess import did_you_mean

FEW = 12
"""So many names are listed where one is not known."""


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
    return no_such_node(name, dict.fromkeys([*graph.nodes, *graph.flat().nodes]))


def no_such_node(name: str, known: Collection[str]) -> Problem:
    """What to say of a name that no node has; ``known`` are those that there are."""
    listed = ", ".join(map(repr, itertools.islice(known, FEW)))
    more = len(known) - FEW
    return Problem(
        f"there is no node {name!r}",
        f"one of {listed}{f' and {more} more' if more > 0 else ''}",
        did_you_mean(name, known),
    )
