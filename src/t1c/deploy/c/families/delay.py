"""Delay: the past of a signal, in a ring of as many places as the longest delay has steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape

from ..element import Element
from ..loop import summed
from ..names import identifier
from ..registry import element_by_element
from ..term import Term


@element_by_element(ir.Delay)
def delay(e: Element, node: ir.Delay, terms: Sequence[Term]) -> Term:
    """Read what was sent, then take in this step's input.

    A Delay in a loop does so in two places, one for each half.
    """
    size, longest = e.loop.size, node.longest
    if longest == 0:
        return summed(terms)
    initial = node.initial.reshape(parameter_shape(node.initial.shape, e.shape))
    rest = initial.astype(e.loop.dtype)
    if rest.size > 1:
        rest = np.broadcast_to(rest, (longest, *e.shape)).ravel()
    line = e.state("line", size * longest, rest)
    turn = _Turn(e, longest)
    if e.role == "absorb":
        x = summed(terms)
        e.put("line", line, turn.oldest(), x)
        turn.on()
        return x
    x = terms[0] if e.role == "emit" else summed(terms)
    laid = node.delay.reshape(parameter_shape(node.delay.shape, e.shape)).astype(np.int64)
    if laid.size == 1 or (laid == laid.flat[0]).all():
        steps = int(laid.flat[0])
        sent = e.remembered("line", line, turn.oldest())
        assert steps == longest
    else:
        delays = e.loop.stage.constant(laid.astype(np.uint16), f"{identifier(e.name)}_delay")
        back = f"{delays}[{e.loop.index(laid.shape, e.shape)}]"
        ago = f"({turn.place} + {longest}u - {back}) % {longest}u"
        place = "i" if longest == 1 else f"(size_t)({ago}) * {size} + i"
        sent = e.remembered("line", line, place)
        if laid.min() == 0:
            now = e.loop.condition(f"{back} == 0")
            sent = now.where(x, sent)
    if e.role == "node":
        e.put("line", line, turn.oldest(), x)
        turn.on()
    return sent


class _Turn:
    """Where the ring begins in this step: its oldest place, which the present input takes."""

    def __init__(self, e: Element, longest: int) -> None:
        self.e, self.longest = e, longest
        if longest > 1:
            counter = e.loop.stage.program.counter(e.name, "turn")
            self.array = e.loop.stage.array(counter, written=True)
            self.place = f"{self.array}[0]"
        else:
            self.place = "0"

    def oldest(self) -> str:
        """The index of the present element in the oldest place."""
        return "i" if self.longest == 1 else f"(size_t){self.place} * {self.e.loop.size} + i"

    def on(self) -> None:
        """At the end of the step: the next place is the oldest."""
        if self.longest > 1:
            self.e.loop.after.append(f"{self.place} = ({self.place} + 1u) % {self.longest}u;")
