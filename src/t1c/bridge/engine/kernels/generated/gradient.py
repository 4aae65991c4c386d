"""The loop that takes gradients back through another loop, from its rows of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .kept import fewest
from .loop import Loop, Value, Writer
from .operations import OPERATIONS


@dataclass(frozen=True)
class Backward:
    """The gradient of a loop, which itself is a loop: the chain rule, from the last step back.

    Attributes:
        loop: reads the values ``kept``, then the gradients of what was written; carries the
            gradients of what is handed from step to step; writes those of the arrays read that are
            wanted, and adds up those of parameters, laid ones first, in the order of their numbers.
            Of what it may read it reads only what it needs: see ``Loop.reads``.
        kept: the entries of the other loop, by place, whose values in each step it is given.
    """

    loop: Loop
    kept: tuple[int, ...]


def backward(
    loop: Loop,
    wanted: Sequence[int],
    laid: Sequence[int] = (),
    single: Sequence[int] = (),
    kept: Sequence[int] | None = None,
) -> Backward:
    """The gradient of ``loop``, given some values of its steps.

    Args:
        loop: what is differentiated.
        wanted: the arrays read whose gradients are wanted, by number.
        laid: the parameters whose gradients are wanted, by number.
        single: likewise, of those that are one number.
        kept: the entries that are given, by place, of which all others can be computed; None: the
            fewest.
    """
    asked = {"read": wanted, "laid": laid, "single": single}
    if kept is None:
        leaves = [p for p, e in enumerate(loop.entries) if e.op in ("read", "carried")]
        writer, results = _written(loop, leaves, asked)
        kept = fewest(loop, _used(writer, len(loop.entries), results))
    writer, results = _written(loop, kept, asked)
    return Backward(writer.loop(*results, backwards=True), tuple(kept))


NOWHERE = -1
"""What is not kept and nothing needs: no entry of the finished loop has a number from here down."""
Results = tuple[list[Value], list[Value], list[Value]]
"""What is written, carried and added up."""


def _written(
    loop: Loop, kept: Sequence[int], asked: Mapping[str, Sequence[int]]
) -> tuple[Writer, Results]:
    """The entries of ``loop``, those kept being read, and its gradient behind them."""
    writer = Writer()
    values: list[Value] = []
    for place, entry in enumerate(loop.entries):
        operands = tuple(values[p] for p in entry.operands)
        if place in kept:
            values.append(writer.add("read", detail=kept.index(place)))
        elif entry.op in ("read", "carried"):
            values.append(writer.add("read", detail=NOWHERE - place))
        else:
            values.append(writer.add(entry.op, *operands, detail=entry.detail))
    found: dict[int, Value] = {}

    def flow(place: int, g: Value) -> None:
        found[place] = found[place] + g if place in found else g

    for n, place in enumerate(loop.carried):
        flow(place, writer.add("carried", detail=n))
    for n, place in enumerate(loop.writes):
        flow(place, writer.add("read", detail=len(kept) + n))
    for place in range(len(loop.entries) - 1, -1, -1):
        entry = loop.entries[place]
        row = OPERATIONS.get(entry.op)
        if place not in found or row is None or row.gradient is None:
            continue
        own = tuple(values[p] for p in entry.operands)
        told = (entry.detail,) if row.fires else ()
        parts = row.gradient(*told, found[place], values[place], *own)
        for operand, g in zip(entry.operands, parts, strict=True):
            if g is not None:
                flow(operand, g)

    def of(leaf: str, numbers: Sequence[int] | range) -> list[Value]:
        places, nothing = loop.leaves(leaf), writer.number(0)
        return [found.get(places.get(n, -1), nothing) for n in numbers]

    sums = [*of("laid", asked["laid"]), *of("single", asked["single"])]
    return writer, (of("read", asked["read"]), of("carried", range(len(loop.carried))), sums)


def _used(writer: Writer, count: int, results: Results) -> set[int]:
    """Which of the first ``count`` entries the gradient behind them makes use of."""
    used: set[int] = set()
    seen: set[int] = set()
    waiting = [value.place for values in results for value in values]
    while waiting:
        place = waiting.pop()
        if place < count:
            used.add(place)
        elif place not in seen:
            seen.add(place)
            waiting.extend(writer.entries[place].operands)
    return used
