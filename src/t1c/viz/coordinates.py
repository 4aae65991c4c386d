"""How far to the right the members of rows stand, so that long edges are straight.

After Brandes and Köpf, "Fast and simple horizontal coordinate assignment" (2001): members that
follow each other along an edge are stacked into columns in four ways, each way is packed as close
as the widths allow, and each member is placed in the middle of the four.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from .layered import Rows


def columns(rows: Rows, widths: Sequence[float], gap: float, gap_of_points: float) -> list[float]:
    """The middle of each node and point; nothing overlaps, and the leftmost side is near 0.

    Args:
        rows: who stands next to whom.
        widths: of nodes; points have none.
        gap: between nodes that stand side by side.
        gap_of_points: between points, and between a point and a node.
    """
    size = len(rows.above)
    wide = [*widths, *[0.0] * (size - len(widths))]

    def apart(a: int, b: int) -> float:
        points = a >= rows.count or b >= rows.count
        return (wide[a] + wide[b]) / 2 + (gap_of_points if points else gap)

    forbidden = _conflicts(rows)
    ways = []
    for upwards in (False, True):
        for mirrored in (False, True):
            ordered = [row[::-1] if mirrored else row for row in rows.rows]
            if upwards:
                ordered.reverse()
            beside = rows.below if upwards else rows.above
            root = _stacks(ordered, beside, forbidden, size)
            xs = _packed(ordered, root, apart)
            ways.append([-x for x in xs] if mirrored else xs)
    return _middle(ways, wide)


def _conflicts(rows: Rows) -> set[tuple[int, int]]:
    """Edges that cross a long edge where it passes: the long one is to be straight."""
    found = set()
    for upper, lower in zip(rows.rows, rows.rows[1:], strict=False):
        place = {one: i for i, one in enumerate(upper)}
        left = scanned = 0
        for at, one in enumerate(lower):
            passing = [a for a in rows.above[one] if a >= rows.count and one >= rows.count]
            if not passing and at < len(lower) - 1:
                continue
            right = place[passing[0]] if passing else len(upper)
            for other in lower[scanned : at + 1]:
                for a in rows.above[other]:
                    crosses = not left <= place[a] <= right
                    if crosses and not (a >= rows.count and other >= rows.count):
                        found.add((a, other))
            scanned, left = at + 1, right
    return found


def _stacks(
    ordered: list[list[int]],
    beside: list[list[int]],
    forbidden: set[tuple[int, int]],
    size: int,
) -> list[int]:
    """Each member's column, named by its first member."""
    root, following = list(range(size)), list(range(size))
    for before, row in pairwise(ordered):
        place = {one: i for i, one in enumerate(before)}
        reached = -1
        for one in row:
            there = sorted(beside[one], key=place.__getitem__)
            if not there:
                continue
            for middle in sorted({(len(there) - 1) // 2, len(there) // 2}):
                other = there[middle]
                free = following[one] == one and place[other] > reached
                if free and (other, one) not in forbidden and (one, other) not in forbidden:
                    following[other] = one
                    root[one] = following[one] = root[other]
                    reached = place[other]
    return root


def _packed(
    ordered: list[list[int]], root: list[int], apart: Callable[[int, int], float]
) -> list[float]:
    """Columns as far to the left as they can be, then those that can move up to their right."""
    right: dict[int, dict[int, float]] = {}
    waiting = dict.fromkeys(root, 0)
    for row in ordered:
        for a, b in pairwise(row):
            sides = right.setdefault(root[a], {})
            if root[b] not in sides:
                waiting[root[b]] += 1
            sides[root[b]] = max(sides.get(root[b], 0.0), apart(a, b))
    x = dict.fromkeys(waiting, 0.0)
    order = [column for column, count in waiting.items() if not count]
    for column in order:
        for other, distance in right.get(column, {}).items():
            x[other] = max(x[other], x[column] + distance)
            waiting[other] -= 1
            if not waiting[other]:
                order.append(other)
    for column in reversed(order):
        room = [x[other] - distance for other, distance in right.get(column, {}).items()]
        if room:
            x[column] = max(x[column], min(room))
    return [x[column] for column in root]


def _middle(ways: list[list[float]], wide: Sequence[float]) -> list[float]:
    """The mean of the middle two of four ways, all set against the narrowest."""
    if not wide:
        return []
    spans = []
    for xs in ways:
        low = min(x - w / 2 for x, w in zip(xs, wide, strict=True))
        high = max(x + w / 2 for x, w in zip(xs, wide, strict=True))
        spans.append((low, high))
    low, high = min(spans, key=lambda span: span[1] - span[0])
    moved = []
    for number, (xs, (left, right)) in enumerate(zip(ways, spans, strict=True)):
        # Mirrored ways lean to the right.
        shift = high - right if number % 2 else low - left
        moved.append([x + shift for x in xs])
    found = []
    for four in zip(*moved, strict=True):
        _, a, b, _ = sorted(four)
        found.append((a + b) / 2)
    left = min(x - w / 2 for x, w in zip(found, wide, strict=True))
    return [x - left for x in found]
