"""A NIR file of which nobody says the time step: what can be told of it all the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import T1CError
from t1c.ir.fields import Array

from .conventions import KEY, Conventions
from .crossings import Charge, Steps, Tau
from .file_read import read_raw
from .importer import Importer
from .primitives import PRIMITIVES
from .raw import NirGraph
from .settle import time_constants


@dataclass(frozen=True)
class Timeless:
    """A NIR file as far as it does not depend on a time step.

    Attributes:
        graph: its nodes, edges, shapes and notes. Numbers that count steps mean nothing in it:
            time constants, input weights of neurons, and delays, all of which are one step.
        stated: name -> the fields of each neuron, Threshold and Delay as the file has them: times
            in seconds. A node ``n`` of a subgraph ``g`` is ``g/n``.
    """

    graph: ir.Graph
    stated: dict[str, dict[str, Array]]


def read_timeless(path: str | os.PathLike[str], *, allow_nonfinite: bool = False) -> Timeless:
    """Look into a ``.nir`` file without a time step.

    It is for people who want to know what a file holds, and for nothing that runs.

    Args:
        path: the file.
        allow_nonfinite: accept NaN and infinite parameters.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: the file is not valid, with any time step.
    """
    raw = read_raw(path)
    stated = {
        name: {k: np.asarray(v) for k, v in node.fields.items() if _is_number(k, v)}
        for name, node in raw.walk()
        if _keeps_time(node.type)
    }
    dt = _any_step(raw)
    for _, node in raw.walk():
        if node.type == "Delay" and "delay" in node.fields:
            node.fields["delay"] = np.full(np.shape(node.fields["delay"]), dt)
    try:
        graph = Importer(Conventions(dt), overridden=False, allow_nonfinite=allow_nonfinite).run(
            raw, ()
        )
    except T1CError as error:
        raise type(error)(error.problems, str(path)) from None
    return Timeless(_without_record(graph), stated)


def _keeps_time(kind: str) -> bool:
    entry = PRIMITIVES.get(kind)
    if entry is None:
        return False
    return entry.fires or any(isinstance(field, Tau | Charge | Steps) for field in entry.fields)


def _is_number(name: str, value: Any) -> bool:
    return "shape" not in name and np.asarray(value).dtype.kind in "fiu"


def _any_step(raw: NirGraph) -> float:
    """A step that is shorter than every time constant, so that all of them can be read by it."""
    times = [array[np.isfinite(array) & (array > 0)] for array in time_constants(raw)]
    shortest = min((float(array.min()) for array in times if array.size), default=1.0)
    return shortest / 2


def _without_record(graph: ir.Graph) -> ir.Graph:
    """The graph without notes of how it was read, which would tell a step that nobody said."""
    nodes = {name: _bare(node) for name, node in graph.nodes.items()}
    bare: ir.Graph = graph.replace(nodes=nodes, metadata=_others(graph.metadata))
    return bare


def _bare(node: ir.Node) -> ir.Node:
    if isinstance(node, ir.Graph):
        return _without_record(node)
    bare: ir.Node = node.replace(metadata=_others(node.metadata))
    return bare


def _others(notes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in notes.items() if key != KEY}
