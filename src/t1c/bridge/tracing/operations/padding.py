"""Padding of features: what is added is joined to what is there, and no number changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...modules.exporting import refuse
from ..drawing import Signal
from ..effects.rules import argument
from .along import in_pieces, joined
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


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
            if first or last:
                signal = joined(b, axis, [*first, signal, *last])
        else:
            places = MODES[mode](signal.features[axis], before, after)
            signal = in_pieces(b, signal, axis, places)
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


def _reflected(n: int, before: int, after: int) -> list[int]:
    return [*range(before, 0, -1), *range(n), *range(n - 2, n - 2 - after, -1)]


def _replicated(n: int, before: int, after: int) -> list[int]:
    return [*[0] * before, *range(n), *[n - 1] * after]


def _circular(n: int, before: int, after: int) -> list[int]:
    return [*range(n - before, n), *range(n), *range(after)]


MODES: dict[str, Callable[[int, int, int], list[int]]] = {
    "reflect": _reflected,
    "replicate": _replicated,
    "circular": _circular,
}
"""Mode -> which of ``n`` elements stand one behind the other, with so many before and behind."""
