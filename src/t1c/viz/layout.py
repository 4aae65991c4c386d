"""Where everything stands: each scope by itself, its groups folded.

The page opens a group by making room for it in this picture (``page/place.js``), so that nothing
else changes its place relative to the rest; ``place`` does the same for an SVG.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .boxes import Box, group_box, node_box
from .coordinates import columns
from .layered import Rows, arrange
from .scopes import Scope, scopes_of

GAP = 28.0
"""Between boxes side by side."""
GAP_OF_LINES = 16.0
ROW_GAP = 38.0
"""Between rows."""
WIDE = 1.4
"""How much wider than high a picture of many rows is made, by continuing it in a next column."""
TALLEST = 1000.0
"""A picture that is not higher than this stays one column."""
FEW = 80
"""As many boxes are shown at first."""


@dataclass(frozen=True)
class Laid:
    """A scope with its places.

    Attributes:
        items: id -> (the middle of its box in x, its row).
        ports: the x of each port.
        points: for each link, where it passes rows: (x, row), from its upper end to its lower one.
        rows: how many.
        bands: the first row of each column of the picture.
        size: about how wide and high it is with the groups open that are open at first.
    """

    scope: Scope
    items: dict[str, tuple[float, int]]
    ports: list[float]
    points: list[list[tuple[float, int]]]
    rows: int
    bands: list[int]
    size: tuple[float, float]


@dataclass(frozen=True)
class Picture:
    """A graph, laid out.

    Attributes:
        graph: as ``graph_to_dict`` gives it.
        boxes: id of a node or folded group -> its box.
        scopes: id of a group, or None for the whole -> its places.
        open: ids of the groups that are open at first.
    """

    graph: Mapping[str, Any]
    boxes: dict[str, Box]
    scopes: dict[str | None, Laid]
    open: frozenset[str]


def lay_out(graph: Mapping[str, Any]) -> Picture:
    """Places for a graph in the form of ``graph_to_dict``."""
    scopes = scopes_of(graph)
    sizes = _sizes(graph)
    prefixes = {None: "", **{group["id"]: group["prefix"] for group in graph["groups"]}}
    boxes = {node["id"]: node_box(node, prefixes[node["group"]]) for node in graph["nodes"]}
    boxes |= {
        group["id"]: group_box(group, prefixes[group["group"]], sizes[group["id"]])
        for group in graph["groups"]
    }
    is_open = opened(graph, FEW) | _around_changes(graph)
    laid: dict[str | None, Laid] = {}
    seen = {ident: (box.width, box.height) for ident, box in boxes.items()}
    for ident, scope in reversed(scopes.items()):  # what is inside comes first
        laid[ident] = _laid(scope, boxes, seen)
        if ident in is_open:
            seen[ident] = laid[ident].size
    return Picture(graph, boxes, {ident: laid[ident] for ident in scopes}, is_open)


def opened(graph: Mapping[str, Any], most: float) -> frozenset[str]:
    """The groups to open so that at most ``most`` boxes are seen: all of a depth, or none."""
    seen = Counter(thing["group"] for thing in [*graph["nodes"], *graph["groups"]])
    total = seen[None]
    is_open: set[str] = set()
    level: list[str] | None = None
    while True:
        parents = {None} if level is None else set(level)
        level = [group["id"] for group in graph["groups"] if group["group"] in parents]
        total += sum(seen[ident] for ident in level)
        if not level or total > most:
            return frozenset(is_open)
        is_open |= set(level)


def _around_changes(graph: Mapping[str, Any]) -> frozenset[str]:
    """The groups that hold what differs from another graph: it must be seen."""
    home = {group["id"]: group["group"] for group in graph["groups"]}
    found: set[str] = set()
    for node in graph["nodes"]:
        group = node["group"] if node.get("status") else None
        while group is not None:
            found.add(group)
            group = home[group]
    return frozenset(found)


def _sizes(graph: Mapping[str, Any]) -> Counter[str]:
    """How many nodes each group holds, at any depth."""
    home = {group["id"]: group["group"] for group in graph["groups"]}
    sizes: Counter[str] = Counter()
    for node in graph["nodes"]:
        group = node["group"]
        while group is not None:
            sizes[group] += 1
            group = home[group]
    return sizes


def _laid(scope: Scope, boxes: Mapping[str, Box], seen: Mapping[str, tuple[float, float]]) -> Laid:
    count = len(scope.items)
    number = {item: i for i, item in enumerate(scope.items)}
    edges = []
    for link in scope.links:
        source = count + link.source_port if link.source is None else number[link.source]
        target = count + link.target_port if link.target is None else number[link.target]
        edges.append((target, source) if link.upwards else (source, target))
    apart = [edge for edge in edges if edge[0] != edge[1]]
    rows = arrange(
        count + scope.port_count,
        apart,
        [count + port for port in scope.top],
        [count + port for port in scope.bottom],
    )
    widths = [boxes[item].width for item in scope.items] + [0.0] * scope.port_count
    for a, b in edges:
        if a == b:  # room for its loop
            widths[a] = boxes[scope.items[a]].width + 2 * GAP
    xs = columns(rows, widths, GAP, GAP_OF_LINES)
    row = rows.row_of()
    chains = iter(rows.chains)
    points = [[] if a == b else [(round(xs[p], 1), row[p]) for p in next(chains)] for a, b in edges]
    heights = [0.0] * len(rows.rows)
    for i, item in enumerate(scope.items):
        heights[row[i]] = max(heights[row[i]], seen[item][1])
    wide = max([x + w / 2 for x, w in zip(xs, widths, strict=False)], default=0.0)
    wide = max([wide, *(width for item in scope.items for width in seen[item][:1])])
    bands = _bands(rows, heights, wide)
    parts = zip(bands, [*bands[1:], len(heights)], strict=True)
    tall = max(sum(heights[a:b]) + ROW_GAP * (b - a) for a, b in parts) if heights else 0.0
    return Laid(
        scope,
        {item: (round(xs[i], 1), row[i]) for item, i in number.items()},
        [round(xs[count + port], 1) for port in range(scope.port_count)],
        points,
        len(rows.rows),
        bands,
        (len(bands) * (wide + 2 * GAP), tall + ROW_GAP),
    )


def _bands(rows: Rows, heights: list[float], wide: float) -> list[int]:
    """Where a high picture continues in a next column: where few lines are cut.

    As many columns as make the picture about ``WIDE`` times as wide as it is high, and leave
    little of it empty.
    """
    reached = [0.0]
    for height in heights:
        reached.append(reached[-1] + height + ROW_GAP)
    total = reached[-1]
    if total <= TALLEST:
        return [0]
    cut = [sum(len(rows.below[one]) for one in row) for row in rows.rows]
    usual = math.sqrt(WIDE * total / (wide + 2 * GAP))
    ways = [
        _starts(heights, reached, cut, bands)
        for bands in range(max(1, round(usual * 0.7)), round(usual * 1.3) + 2)
    ]

    def unlike(starts: list[int]) -> float:
        ends = [*starts[1:], len(heights)]
        tall = max(reached[b] - reached[a] for a, b in zip(starts, ends, strict=True))
        across = len(starts) * (wide + 2 * GAP)
        empty = across * tall / ((wide + 2 * GAP) * total)
        return abs(math.log(across / tall / WIDE)) + 2 * math.log(empty)

    return min(ways, key=unlike)


def _starts(heights: list[float], reached: list[float], cut: list[int], bands: int) -> list[int]:
    """The first rows of about equally high columns."""
    starts = [0]
    total = reached[-1]
    for band in range(1, bands):
        wanted, slack = total * band / bands, total / bands / 4
        # Those about where it is wanted, and at least the nearest on either side.
        low = max(starts[-1] + 1, bisect(reached, wanted - 2 * slack) - 1)
        high = min(len(heights), bisect(reached, wanted + 2 * slack) + 1)
        best = min(
            (row for row in range(low, high) if reached[row] and heights[row]),
            key=lambda row: (
                abs(reached[row] - wanted) // slack,
                cut[row - 1],
                abs(reached[row] - wanted),
            ),
            default=None,
        )
        # What would be nearer to the cut before, or to the end, is no column of its own.
        if best is not None and reached[best] - reached[starts[-1]] > 2 * slack:
            starts.append(best)
    return starts
