"""What a loop of sums is as a neuron: how its membrane decays, what drives it, how it resets.

The membrane before firing is ``u = beta * v + gains * inputs + leak``, affine in what the loop
remembers and in what it is given. What it carries on is u, or a reset of u:

    zero      u * (1 - s)
    subtract  u - s * threshold
    value     u * (1 - s) + s * v_reset

Where the spike q of the step before resets, it does so with ``q`` in the place of s, before the
decay (zero, value) or after it (subtract, hold: the whole step ends at zero).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from t1c import ir

from .affine import Array, Atom, Sum, multiple
from .reading import Reader, laid

V = Atom("memory", 0)


@dataclass(frozen=True)
class Membrane:
    """A neuron by its numbers, each laid over the features.

    Attributes:
        beta: what is left of the membrane after a step.
        gains: input -> its factor.
        leak: what is added in every step.
        reset: 'none', 'zero', 'value', 'subtract' or 'hold'.
        late: the reset is that of the spike in the step before.
        v_reset, v_min: as of a neuron; None: not.
        threshold: the membrane at which it fires.
        spike: which of the reader's spikes it sends; None: it sends none.
        ago: it sends the spike of the step before.
    """

    beta: Array
    gains: dict[int, Array]
    leak: Array
    reset: str = "none"
    late: bool = False
    v_reset: Array | None = None
    v_min: Array | None = None
    threshold: Array = field(default_factory=lambda: np.zeros(()))
    spike: int | None = None
    ago: bool = False


def membrane_of(reader: Reader, features: tuple[int, ...]) -> Membrane | None:
    """The neuron that the loop of a reader is; None where it is none.

    Its first memory is the membrane, a second one the spike of the step before.
    """
    carried = reader.read(reader.memories[0].inputs[0])
    carried, v_min = _unbounded(reader, carried, features)
    sent: Atom | None = None
    if len(reader.memories) == 2:
        sent = reader.read(reader.memories[1].inputs[0]).only()
        if sent is None or sent.kind != "spike":
            return None
    elif len(reader.memories) > 2:
        return None
    resetting = carried.atoms("spike") | (carried.atoms("memory") - {V})
    if not resetting:
        found = _affine(carried)
        return found and replace(found, v_min=v_min) if v_min is None else None
    if len(resetting) > 1 or carried.atoms("other"):
        return None
    (atom,) = resetting
    free = carried.without(atom)
    base = _affine(free)
    if base is None:
        return None
    if atom.kind == "memory":
        # The loop keeps what it sent: a spike of the membrane that it carries on.
        assert sent is not None
        return _late(reader, base, free, carried, atom, sent)
    spike = reader.spikes[atom.number]
    level = _level(spike.potential, free)
    if level is not None and sent is None:
        return _at_once(base, free, carried - free, atom, level, v_min)
    if _level(spike.potential, Sum.of(V)) is not None and sent is None and v_min is None:
        return _late(reader, base, free, carried, atom, None)
    return None


def firing(reader: Reader, found: Membrane) -> Membrane | None:
    """A neuron that does not reset, with the spike that its membrane makes; None: no one spike."""
    carried = reader.read(reader.memories[0].inputs[0])
    fires = {
        number: level
        for number, spike in enumerate(reader.spikes)
        if (level := _level(spike.potential, carried)) is not None
    }
    if len(fires) != 1:
        return None
    ((number, level),) = fires.items()
    return replace(found, threshold=level, spike=number)


def _unbounded(reader: Reader, carried: Sum, features: tuple[int, ...]) -> tuple[Sum, Array | None]:
    """What is carried on without its bound from below, and that bound."""
    atom = carried.only()
    if atom is None or atom.kind != "other":
        return carried, None
    other = reader.others[atom.number]
    node = other.node
    if not isinstance(node, ir.Clip) or node.low is None or node.high is not None:
        return carried, None
    return other.of[0], laid(node.low, features)


def _affine(u: Sum) -> Membrane | None:
    """A membrane without reset, where a sum is one: it decays, and something drives it."""
    if any(len(term) > 1 for term in u.terms) or not u.atoms("input"):
        return None
    if not u.atoms() <= {V} | u.atoms("input"):
        return None
    beta = u.coefficient(V)
    if not (np.all(beta >= 0) and (np.all(beta < 1) or np.all(beta == 1))):
        return None
    gains = {atom.number: u.coefficient(atom) for atom in sorted(u.atoms("input"))}
    leak = u.coefficient()
    return None if np.all(beta == 1) and np.any(leak) else Membrane(beta, gains, leak)


def _level(potential: Sum, u: Sum) -> Array | None:
    """The threshold of u, where a potential is u less that, times something above 0."""
    found = multiple(potential, u)
    if found is None or not np.all(found[0] > 0):
        return None
    return -found[1] / found[0]


def _at_once(
    base: Membrane, u: Sum, reset: Sum, atom: Atom, level: Array, v_min: Array | None
) -> Membrane | None:
    """A neuron that resets in the step in which it fires."""
    found = replace(base, threshold=level, spike=atom.number, v_min=v_min)
    s = Sum.of(atom)
    if reset.equals(s.times(-level)):
        return replace(found, reset="subtract")
    rest = reset + u * s
    if not rest.terms:
        return replace(found, reset="zero")
    if set(rest.terms) == {(atom,)}:
        return replace(found, reset="value", v_reset=rest.coefficient(atom))
    return None


def _late(
    reader: Reader, base: Membrane, u: Sum, carried: Sum, atom: Atom, sent: Atom | None
) -> Membrane | None:
    """A neuron that the spike of the step before resets."""
    q, reset = Sum.of(atom), carried - u
    if sent is not None:
        # The memory of a spike is 0 or 1 as that is.
        if any(term.count(atom) > 1 for term in carried.terms):
            return None
        spike, potential = reader.spikes[sent.number], carried
    else:
        spike, potential = reader.spikes[atom.number], Sum.of(V)
    level, fires_at = _level(spike.potential, potential), spike.fires_at
    if level is None:
        return None
    found = replace(base, threshold=level)
    at_rest = np.all(level > 0) or (fires_at == "gt" and np.all(level >= 0))
    if sent is not None:
        found = replace(found, spike=sent.number)
    else:
        later = [
            number
            for number, other in enumerate(reader.spikes)
            if other.fires_at == fires_at
            and (reached := _level(other.potential, carried)) is not None
            and Sum.constant(reached).equals(Sum.constant(level))
        ]
        found = replace(found, spike=later[0] if later else atom.number, ago=not later)
        if not at_rest:
            return None
    decayed = Sum.of(V).times(base.beta) * q
    rest = reset + decayed
    if not rest.terms:
        # Reset before the decay: the same as at once, in the step before.
        return replace(found, reset="zero")
    if set(rest.terms) == {(atom,)} and np.all(base.beta > 0):
        return replace(found, reset="value", v_reset=rest.coefficient(atom) / base.beta)
    if reset.equals(q.times(-level * base.beta)):
        return replace(found, reset="subtract")
    if not at_rest:
        return None
    if reset.equals(q.times(-level)):
        return replace(found, reset="subtract", late=True)
    return replace(found, reset="hold", late=True) if not (reset + u * q).terms else None
