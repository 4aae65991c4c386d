"""The shapes that flow along the edges of a graph, from its Inputs on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from .errors import Problem, ShapeError
from .node import Node
from .shapes import Shape, as_shape
from .topology import Edge, Topology

Told = tuple[Shape | None, tuple[Shape, ...]]
"""What reaches a node, and the shape of each of its outputs."""


def infer_shapes(
    nodes: Mapping[str, Node], topology: Topology, ports: Mapping[Edge, int]
) -> tuple[dict[str, Node], list[Problem]]:
    """Let shapes flow along the edges, then check every node with all that reaches it.

    Args:
        nodes: by name.
        topology: of their edges.
        ports: which output of its source each edge takes.

    Returns:
        (the nodes with their shapes, as far as they have any; what does not fit together)
    """
    typed = dict(nodes)
    sent, known = _flow(nodes, topology, ports)
    problems: list[Problem] = []
    for name, node in nodes.items():
        sources = topology.before[name]
        if any(s not in sent for s in sources):
            continue
        arriving = [sent[s][ports[s, name]] for s in sources]
        where = f"node {name!r} ({node.primitive})"
        try:
            before = known.get(name)
            told = before[1] if before and before[0] == arriving else node.shapes(arriving)
            typed[name] = found = node.typed(*told)
            leaving = tuple(as_shape(port) for port in (found.output_type or {}).values())
            if leaving != sent.get(name, leaving):
                problems.append(_mistaken(where, sent[name], leaving))
        except ShapeError as error:
            routes = [f"{s!r} {shape}" for s, shape in zip(sources, arriving, strict=True)]
            note = f" (from {', '.join(routes)})" if routes else ""
            problems += [
                dataclasses.replace(p, where=where, found=p.found + note) for p in error.problems
            ]
    unknown = [name for name in nodes if name not in sent]
    if unknown and not problems:
        problems.append(
            Problem(
                "the shape cannot be told from the edges",
                "a path from an Input, or a declared shape",
                "Give one of them input_type={'input': shape}.",
                f"nodes {', '.join(map(repr, unknown))}",
            )
        )
    return typed, problems


def _flow(
    nodes: Mapping[str, Node], topology: Topology, ports: Mapping[Edge, int]
) -> tuple[dict[str, tuple[Shape, ...]], dict[str, tuple[list[Shape], Told]]]:
    """The shapes that each node sends, one for each output, as far as they can be told.

    And what nodes said of inputs, all of which were known.

    Inside a cycle not all inputs of a node can be known before its output. There a node is
    tried with those that are, which is enough wherever inputs are added or combined element by
    element; what then does not fit shows when every node is checked with all of them.
    """
    sent: dict[str, tuple[Shape, ...]] = {}
    known: dict[str, tuple[list[Shape], Told]] = {}

    def shapes(name: str) -> tuple[bool, Shape | None, tuple[Shape, ...]]:
        """Whether any input is known, and what node and inputs say together."""
        node = nodes[name]
        inputs = [sent[s][ports[s, name]] if s in sent else None for s in topology.before[name]]
        arriving = [shape for shape in inputs if shape is not None]
        told = bool(arriving)
        try:
            if len(arriving) < len(inputs):
                return told, *node.shapes(node.supposed(inputs))
            known[name] = arriving, node.shapes(arriving)
            return told, *known[name][1]
        except ShapeError:
            return told, None, ()

    def first_guess(waiting: Iterable[str]) -> tuple[str, tuple[Shape, ...]] | None:
        """One more: from inputs that are added, else as declared, else from other inputs.

        If none is known, from parameters. The larger suggestion comes first: a vector of
        parameters may be meant per channel.
        """
        guesses = []
        for name in waiting:
            node = nodes[name]
            told, arriving, found = shapes(name)
            if told and node.adds_inputs and found:
                return name, found
            declared = bool(node.declared_input or node.declared_output)
            if found:
                rank = (declared, told, len(arriving or ()), arriving or ())
                guesses.append((rank, name, found))
        if not guesses:
            return None
        _, name, found = max(guesses, key=lambda guess: guess[0])
        return name, found

    for part in topology.parts():
        waiting = dict.fromkeys(part)
        queue = list(part)
        while waiting:
            for name in queue:  # grows as it is walked
                if name not in waiting or any(s not in sent for s in topology.before[name]):
                    continue
                del waiting[name]
                _, _, found = shapes(name)
                if found:
                    sent[name] = found
                    queue += topology.after[name]
            guess = first_guess(waiting)
            if guess is None:
                break
            name, sent[name] = guess
            del waiting[name]
            queue = list(topology.after[name])
    return sent, known


def _mistaken(where: str, supposed: Sequence[Shape], leaving: Sequence[Shape | None]) -> Problem:
    """What to say where a node in a loop gets other inputs than the first of them suggested."""
    return Problem(
        f"{', '.join(map(str, supposed))} was taken for the shape of what it sends, and it sends "
        f"{', '.join(map(str, leaving))}",
        "a loop whose shapes follow from what reaches it first",
        "Give the node input_type={'input': shape}.",
        where,
    )
