"""Which values of a step are kept for its gradient: as few as the others can be computed from.

Every way from what a step is given to what its gradient needs has to be cut at some entry, whose
value is kept. The cheapest entries that cut all ways are a minimum cut, found by a maximum flow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from .loop import LEAVES, Loop
from .operations import OPERATIONS

WRITTEN, READ, NEW, NEVER = 1, 2, 3, 10**6
"""What it costs to keep a value that is written anyway, one that is read, and any other; a
condition is no number."""
Point = tuple[int, bool]
"""An entry, before (False) or behind (True) the place where it may be cut."""
SOURCE, SINK = (-1, True), (-2, False)


def fewest(loop: Loop, needed: Collection[int]) -> list[int]:
    """Places of the entries to keep, in ascending order.

    Args:
        loop: the entries.
        needed: places of those whose values the gradient takes; parameters are there anyway.
    """
    moving: set[int] = set()
    room: dict[Point, dict[Point, int]] = {SOURCE: {}, SINK: {}}

    def join(a: Point, b: Point, capacity: int) -> None:
        room.setdefault(a, {})[b] = capacity
        room.setdefault(b, {}).setdefault(a, 0)

    for place, entry in enumerate(loop.entries):
        of = [p for p in entry.operands if p in moving]
        given = entry.op in ("read", "carried")
        if not of and not given:
            continue  # made of parameters alone
        moving.add(place)
        join((place, False), (place, True), _cost(loop, place))
        for operand in of:
            join((operand, True), (place, False), NEVER)
        if given:
            join(SOURCE, (place, False), NEVER)
    for place in moving.intersection(needed):
        join((place, True), SINK, NEVER)
    while way := _way(room):
        least = min(room[a][b] for a, b in way)
        for a, b in way:
            room[a][b] -= least
            room[b][a] += least
    behind = _leading_to_sink(room)
    return sorted(p for p in moving if (p, True) in behind and (p, False) not in behind)


def _cost(loop: Loop, place: int) -> int:
    op = loop.entries[place].op
    if op not in LEAVES and OPERATIONS[op].condition:
        return NEVER
    return WRITTEN if place in loop.writes else READ if op == "read" else NEW


def _way(room: dict[Point, dict[Point, int]]) -> list[tuple[Point, Point]]:
    """A shortest way from source to sink on which there is room left; empty if there is none."""
    came: dict[Point, Point] = {SOURCE: SOURCE}
    waiting = deque([SOURCE])
    while waiting:
        a = waiting.popleft()
        for b, left in room[a].items():
            if left and b not in came:
                came[b] = a
                waiting.append(b)
    if SINK not in came:
        return []
    return list(_back(came))


def _back(came: dict[Point, Point]) -> Iterable[tuple[Point, Point]]:
    b = SINK
    while b != SOURCE:
        yield came[b], b
        b = came[b]


def _leading_to_sink(room: dict[Point, dict[Point, int]]) -> set[Point]:
    """The points from which there is room left up to the sink."""
    found, waiting = {SINK}, [SINK]
    while waiting:
        b = waiting.pop()
        for a in room[b]:
            if room[a][b] and a not in found:
                found.add(a)
                waiting.append(a)
    return found
