"""The loop that takes gradients back through another loop, from its rows of the table."""

from __future__ import annotations

from collections.abc import Collection

from .loop import Loop, Value, Writer
from .operations import OPERATIONS


def backward(
    loop: Loop,
    inputs: int,
    wanted: Collection[int],
    laid: Collection[int] = (),
    single: Collection[int] = (),
) -> Loop:
    """The gradient of a loop, which itself is a loop: the chain rule, from the last step back.

    It reads the inputs of ``loop``, then what each step was handed (the 'carried' leaves), then the
    gradients of what was written; it carries the gradients of what is handed from step to step. Of
    these it reads only what it needs; see ``Loop.reads``.

    Args:
        loop: what is differentiated.
        inputs: how many arrays it may read.
        wanted: those of them whose gradients are wanted, by number.
        laid: the parameters whose gradients are wanted, by number.
        single: likewise, of those that are one number.

    Returns:
        The loop; it writes the gradients of ``wanted``, and adds up those of ``laid``, then those
        of ``single``, each in ascending order.
    """
    writer = Writer()
    values: list[Value] = []
    for entry in loop.entries:
        if entry.op == "carried":
            values.append(writer.add("read", detail=inputs + entry.detail))
        else:
            operands = (values[p] for p in entry.operands)
            values.append(writer.add(entry.op, *operands, detail=entry.detail))
    found: dict[int, Value] = {}

    def flow(place: int, g: Value) -> None:
        found[place] = found[place] + g if place in found else g

    for n, place in enumerate(loop.carried):
        flow(place, writer.add("carried", detail=n))
    for n, place in enumerate(loop.writes):
        flow(place, writer.add("read", detail=inputs + len(loop.carried) + n))
    for place in range(len(loop.entries) - 1, -1, -1):
        entry = loop.entries[place]
        row = OPERATIONS.get(entry.op)
        if place not in found or row is None or row.gradient is None:
            continue
        operands = tuple(values[p] for p in entry.operands)
        told = (entry.detail,) if row.fires else ()
        parts = row.gradient(*told, found[place], values[place], *operands)
        for operand, g in zip(entry.operands, parts, strict=True):
            if g is not None:
                flow(operand, g)

    def of(leaf: str, numbers: Collection[int] | range) -> list[Value]:
        places = loop.leaves(leaf)
        nothing = writer.number(0)
        return [found.get(places.get(n, -1), nothing) for n in sorted(numbers)]

    return writer.loop(
        of("read", wanted),
        of("carried", range(len(loop.carried))),
        [*of("laid", laid), *of("single", single)],
        backwards=True,
    )
