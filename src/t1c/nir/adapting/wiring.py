"""In which order a reader runs nodes, and whether that is the order that the graph means.

Two ways are met. One sorts nodes by what they need and keeps, of what is not there yet, the output
of the step before ('any'). The other goes to the first node that an edge leads to, and on from
there, before it goes to the second ('depth first'): what two ways lead to is run after the first of
them, with what the other sent in the step before. Neither has what a stateless node on the way back
gives of nothing, its bias, in the first step.
"""

from __future__ import annotations

import heapq
from collections import Counter

import numpy as np

from t1c import ir
from t1c.ir.errors import Problem
from t1c.ir.topology import Edge

from .draft import Draft
from .wires import Wires


def check_wiring(draft: Draft) -> None:
    """Edges in an order in which the reader gives the same, or problems."""
    for (a, b), count in Counter(draft.edges).items():
        if count > 1:
            draft.problems.append(
                Problem(
                    f"{count} edges add the same output",
                    "one edge: readers take it once",
                    f"Multiply the weights of {b!r} instead.",
                    f"edge {a!r} -> {b!r}",
                )
            )
    if draft.problems:
        return
    if draft.back and not draft.reader.loops:
        draft.problems.append(
            Problem(
                "it has feedback: " + ", ".join(f"{a!r} -> {b!r}" for a, b in sorted(draft.back)),
                f"no cycle: {draft.title} runs cycles otherwise, or not at all",
                "Cut the loop, or write for a reader that runs it (spikingjelly).",
                "the graph",
            )
        )
        return
    if draft.reader.wiring == "chain":
        _check_chain(draft)
        return
    late = _late_edges(draft)
    if draft.problems:
        return
    order = _order(draft, late)
    place = {name: n for n, name in enumerate(order)}
    draft.nodes = {name: draft.nodes[name] for name in order}
    # A way that runs back comes first: the one to the Output is the last to be followed.
    onward = _reaching_the_end(draft, late)
    draft.wires = Wires(
        sorted(draft.edges, key=lambda e: (place[e[0]], e[1] in onward, place[e[1]]))
    )
    if draft.reader.wiring == "depth first":
        _check_depth_first(draft, late)


def _check_chain(draft: Draft) -> None:
    for name in draft.nodes:
        for many, word in (
            (draft.sources(name), "is led to by"),
            (draft.targets(name), "leads to"),
        ):
            if len(many) > 1:
                draft.refuse(
                    name,
                    Problem(
                        f"it {word} {', '.join(map(repr, many))}",
                        f"one node after another, which is what {draft.title} runs",
                        "Write for a reader that runs branches (snntorch, spikingjelly).",
                    ),
                )


def _late_edges(draft: Draft) -> set[Edge]:
    """Where the step lies for such a reader: as far on as nodes give nothing of nothing.

    The graph has it at the output of a neuron, what follows working in the present step; the reader
    has it where the way back meets the way forward. In between there must be no bias.
    """
    late, found = list(draft.back), set[Edge]()
    ends = {name for name, _ in draft.each(ir.Output)}
    while late:
        a, b = late.pop()
        node, into = draft.nodes[b], draft.sources(b)
        if len(into) > 1 or b in ends:
            found.add((a, b))
        elif node.primitive in draft.reader.neurons:
            draft.refuse(
                b,
                Problem(
                    "nothing but the way back leads to it",
                    f"something else as well: {draft.title} waits for it forever",
                    "Cut the loop.",
                ),
            )
        elif np.any(getattr(node, "bias", 0)):
            draft.refuse(
                b,
                Problem(
                    "a bias on the way back, which acts from the first step",
                    f"none: in {draft.title} it acts from the second",
                    "Put the bias into a layer on the way forward.",
                    field="bias",
                ),
            )
        else:
            late += [(b, c) for c in draft.targets(b)]
    return found


def _order(draft: Draft, late: set[Edge]) -> list[str]:
    """The nodes, each behind what leads to it in the same step; Outputs last."""
    need = {name: {a for a in draft.sources(name) if (a, name) not in late} for name in draft.nodes}
    rank = {
        name: (isinstance(node, ir.Output), n, name)
        for n, (name, node) in enumerate(draft.nodes.items())
    }
    ready = [rank[name] for name, before in need.items() if not before]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        *_, name = heapq.heappop(ready)
        order.append(name)
        for target in dict.fromkeys(draft.targets(name)):
            if name in need[target]:
                need[target].remove(name)
                if not need[target]:
                    heapq.heappush(ready, rank[target])
    if len(order) < len(draft.nodes):
        draft.problems.append(
            Problem("a cycle without a neuron", "a neuron in every cycle", where="the graph")
        )
        return list(draft.nodes)
    return order


def _reaching_the_end(draft: Draft, late: set[Edge]) -> set[str]:
    """The nodes whose output comes to the Output in the same step."""
    waiting = [name for name, _ in draft.each(ir.Output)]
    found = set(waiting)
    while waiting:
        b = waiting.pop()
        for a in draft.sources(b):
            if a not in found and (a, b) not in late:
                found.add(a)
                waiting.append(a)
    return found


def _check_depth_first(draft: Draft, late: set[Edge]) -> None:
    visited: dict[str, None] = {}
    stack = [name for name, _ in draft.each(ir.Input)][:1]
    while stack:
        name = stack.pop()
        if name not in visited:
            visited[name] = None
            stack += reversed(draft.targets(name))
    place = {name: n for n, name in enumerate(visited)}
    ends = [name for name, _ in draft.each(ir.Output)]
    for a, b in draft.edges:
        if (a, b) not in late and a in place and place[a] > place[b]:
            draft.problems.append(
                Problem(
                    f"{b!r} is run before {a!r} there, with what that sent in the step before",
                    f"an order that {draft.title} keeps to: it follows one branch to its end first",
                    "Write for a reader that runs branches (snntorch, spikingjelly).",
                    f"edge {a!r} -> {b!r}",
                )
            )
    if not draft.problems and (list(visited)[-1:] != ends or set(visited) != set(draft.nodes)):
        draft.problems.append(
            Problem(
                f"the last node that {draft.title} runs is {list(visited)[-1]!r}, whose output it "
                "gives",
                "the Output",
                "Let every branch end before the Output.",
                "the graph",
            )
        )
