"""Padding of features: what is added is joined to what is there, and no number changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...modules.exporting import refuse
from ..drawing import Signal
from ..effects.rules import argument
from .along import joined
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench

Border = Callable[["Bench", Signal, int, int, int], "tuple[list[Signal], list[Signal]]"]
"""What stands before and behind a signal along an axis, of which widths."""


@rule("pad constant_pad_nd")
def _pad(b: Bench) -> Signal:
    call = b.call
    x = call.inputs[0]
    widths = argument(call, 1, "pad")
    plain = call.name == "constant_pad_nd"
    mode = "constant" if plain else argument(call, 2, "mode", "constant")
    value = argument(call, 2 if plain else 3, "value", None) or 0
    if mode not in MODES and mode != "constant":
        raise refuse(f"padding with mode={mode!r}", f"'constant', {', '.join(map(repr, MODES))}")
    signal = b.x()
    for k in range(len(widths) // 2):
        before, after = widths[2 * k], widths[2 * k + 1]
        if before == after == 0:
            continue
        axis = b.feature_axis(x, len(x.shape) - 1 - k)
        n = signal.features[axis]
        # A negative width cuts off.
        start, stop = max(0, -before), n - max(0, -after)
        if (start, stop) != (0, n):
            signal = b.slice(signal, axis, start, stop)
        before, after = max(0, before), max(0, after)
        if mode == "constant":
            first, last = (_filled(b, signal, axis, width, value) for width in (before, after))
        else:
            first, last = MODES[mode](b, signal, axis, before, after)
        if first or last:
            signal = joined(b, axis, [*first, signal, *last])
    return signal


def _filled(b: Bench, signal: Signal, axis: int, width: int, value: float) -> list[Signal]:
    """So much of one number, in pieces as wide as the signal at most."""
    n, pieces = signal.features[axis], []
    while width:
        piece = min(n, width)
        like = signal if piece == n else b.slice(signal, axis, 0, piece)
        pieces.append(b.constant(value, like))
        width -= piece
    return pieces


def _one(b: Bench, signal: Signal, axis: int, places: Sequence[int]) -> list[Signal]:
    return [b.slice(signal, axis, i, i + 1) for i in places]


def _reflect(
    b: Bench, signal: Signal, axis: int, before: int, after: int
) -> tuple[list[Signal], list[Signal]]:
    n = signal.features[axis]
    return (
        _one(b, signal, axis, range(before, 0, -1)),
        _one(b, signal, axis, range(n - 2, n - 2 - after, -1)),
    )


def _replicate(
    b: Bench, signal: Signal, axis: int, before: int, after: int
) -> tuple[list[Signal], list[Signal]]:
    last = signal.features[axis] - 1
    return _one(b, signal, axis, [0] * before), _one(b, signal, axis, [last] * after)


def _circular(
    b: Bench, signal: Signal, axis: int, before: int, after: int
) -> tuple[list[Signal], list[Signal]]:
    n = signal.features[axis]
    first = [b.slice(signal, axis, n - before, n)] if before else []
    return first, [b.slice(signal, axis, 0, after)] if after else []


MODES: dict[str, Border] = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}
