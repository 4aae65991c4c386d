"""Delay: a line of past inputs, oldest first."""

from __future__ import annotations

import numpy as np

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape

from ..registry import translates
from ..writer import INTEGER, Value, Writer

State = tuple[Value, ...]


def emit(w: Writer, node: ir.Delay, state: State) -> Value:
    """What comes out of the line, where every delay is at least 1."""
    return _read(w, node, state[0], state[0].shape[1:])


def absorb(w: Writer, node: ir.Delay, x: Value, state: State) -> State:
    """The line after this step's input."""
    return (_moved_on(w, node, _extended(w, node, x, state), x),)


def _extended(w: Writer, node: ir.Delay, x: Value, state: State) -> Value:
    """The line and the present input behind it."""
    now = w.op("Unsqueeze", x, w.integers(1), shape=(1, *x.shape))
    return w.op("Concat", state[0], now, shape=(node.longest + 1, *x.shape), axis=1)


def _moved_on(w: Writer, node: ir.Delay, line: Value, x: Value) -> Value:
    """The line without its oldest input."""
    ends = w.integers(1), w.integers(node.longest + 1), w.integers(1)
    return w.op("Slice", line, *ends, shape=(node.longest, *x.shape))


def _read(w: Writer, node: ir.Delay, line: Value, features: tuple[int, ...]) -> Value:
    """Each element from as many steps ago as its delay says; the present is at ``longest``."""
    laid = node.delay.reshape(parameter_shape(node.delay.shape, features))
    places = node.longest - np.broadcast_to(laid, features).astype(INTEGER)
    if (places == places.flat[0]).all():
        return w.op("Gather", line, w.integer(int(places.flat[0])), shape=features, axis=1)
    index = w.spread(w.table(places[None], "places"), (1, *features))
    found = w.op("GatherElements", line, index, shape=(1, *features), axis=1)
    return w.op("Squeeze", found, w.integers(1), shape=features)


@translates(ir.Delay, emit=emit, absorb=absorb)
def delay(w: Writer, node: ir.Delay, x: Value, state: State) -> tuple[Value, State]:
    """Read the line, which ends in the present input."""
    if not node.longest:
        return x, ()
    line = _extended(w, node, x, state)
    return _read(w, node, line, x.shape), (_moved_on(w, node, line, x),)
