"""Nodes in rows, so that edges run downwards and cross rarely.

The usual steps of a layered drawing: a row for each node (the longest way to it), points where
long edges pass other rows, and sweeps that order each row by where its neighbours stand. All of it
takes time near-linear in nodes and edges; ``coordinates`` then says how far to the right they are.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import rustworkx as rx

SWEEPS = 10
MOST_BENDS = 20_000
"""Edges that would need more points than these, all together, pass through the rows unseen."""


@dataclass
class Rows:
    """Nodes, and points of long edges, in rows from top to bottom.

    Numbers below ``count`` are nodes, the others points.

    Attributes:
        count: how many nodes.
        rows: what stands in each row, from left to right.
        chains: edge -> its points from top to bottom; edges that pass unseen have none.
    """

    count: int
    rows: list[list[int]]
    chains: list[list[int]]
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)

    def row_of(self) -> list[int]:
        """The row of each node and point."""
        row = [0] * len(self.above)
        for number, members in enumerate(self.rows):
            for one in members:
                row[one] = number
        return row


def arrange(
    count: int,
    edges: Sequence[tuple[int, int]],
    first: Sequence[int] = (),
    last: Sequence[int] = (),
) -> Rows:
    """Rows for the nodes 0 to ``count - 1``.

    Args:
        count: how many nodes.
        edges: (upper, lower) pairs without cycles; equal ones are allowed.
        first: nodes that make up the first row.
        last: nodes that make up the last row.
    """
    row = _rows(count, edges, first, last)
    height = max(row, default=-1) + 1
    rows = Rows(count, [[] for _ in range(height)], [[] for _ in edges])
    rows.above, rows.below = [[] for _ in range(count)], [[] for _ in range(count)]
    room = MOST_BENDS
    for number in sorted(range(len(edges)), key=lambda e: row[edges[e][1]] - row[edges[e][0]]):
        upper, lower = edges[number]
        bends = row[lower] - row[upper] - 1
        room -= bends
        if bends and room < 0:
            continue
        chain = []
        for _ in range(bends):
            chain.append(len(rows.above))
            rows.above.append([])
            rows.below.append([])
        rows.chains[number] = chain
        for a, b in zip([upper, *chain], [*chain, lower], strict=True):
            rows.below[a].append(b)
            rows.above[b].append(a)
    _first_order(rows, row, edges)
    _sweep(rows)
    return rows


def _rows(
    count: int,
    edges: Sequence[tuple[int, int]],
    first: Sequence[int],
    last: Sequence[int],
) -> list[int]:
    graph: rx.PyDiGraph[int, None] = rx.PyDiGraph(multigraph=False)
    graph.add_nodes_from(list(range(count)))
    graph.add_edges_from_no_data(list(edges))
    row = [1 if first else 0] * count
    order = list(rx.topological_sort(graph))
    top = set(first)
    for node in order:
        if node in top:
            row[node] = 0
        for lower in graph.successor_indices(node):
            row[lower] = max(row[lower], row[node] + 1)
    # A side branch begins as late as it can, next to what it leads to.
    for node in reversed(order):
        following = [row[lower] for lower in graph.successor_indices(node)]
        if node not in top and following and not graph.in_degree(node):
            row[node] = max(row[node], min(following) - 1)
    if last:
        bottom = set(last)
        end = max((row[n] for n in range(count) if n not in bottom), default=0) + 1
        for node in last:
            row[node] = end
    return row


def _first_order(rows: Rows, row: list[int], edges: Sequence[tuple[int, int]]) -> None:
    """Every row in the order in which a walk along the edges first meets its members."""
    size = len(rows.above)
    depth = row + [0] * (size - rows.count)
    for (upper, _), chain in zip(edges, rows.chains, strict=True):
        for offset, point in enumerate(chain, 1):
            depth[point] = row[upper] + offset
    seen = [False] * size
    starts = sorted(range(rows.count), key=lambda n: (row[n], n))
    for start in starts:
        stack = [start]
        while stack:
            one = stack.pop()
            if seen[one]:
                continue
            seen[one] = True
            rows.rows[depth[one]].append(one)
            stack += reversed(rows.below[one])


def _sweep(rows: Rows) -> None:
    best = [list(row) for row in rows.rows]
    fewest = crossings(rows)
    place = [0] * len(rows.above)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        for row in rows.rows:
            for i, one in enumerate(row):
                place[one] = i
        downwards = sweep % 2 == 0
        order = range(1, len(rows.rows)) if downwards else range(len(rows.rows) - 2, -1, -1)
        beside = rows.above if downwards else rows.below
        for number in order:
            _order_by(rows.rows[number], beside, place, to_the_right=sweep % 4 > 1)
        found = crossings(rows)
        if found < fewest:
            fewest, best = found, [list(row) for row in rows.rows]
    rows.rows = best


def _order_by(
    row: list[int], beside: list[list[int]], place: list[int], to_the_right: bool
) -> None:
    """Sorts by the mean place of the neighbours; what has none stays where it is."""
    means = {n: sum(place[m] for m in beside[n]) / len(beside[n]) for n in row if beside[n]}
    moving = [n for n in row if n in means]
    # Equals change sides now and then, for one order of them may be better than the other.
    moving = sorted(reversed(moving) if to_the_right else moving, key=means.__getitem__)
    following = iter(moving)
    row[:] = [next(following) if n in means else n for n in row]
    for i, one in enumerate(row):
        place[one] = i


def crossings(rows: Rows) -> int:
    """How many pairs of edges cross."""
    total = 0
    for upper, lower in zip(rows.rows, rows.rows[1:], strict=False):
        place = {one: i for i, one in enumerate(lower)}
        seen: list[int] = []
        for one in upper:
            ends = sorted(place[n] for n in rows.below[one])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total
