"""Which producer wrote a NIR graph, told from the traces that each one leaves."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from t1c.ir.errors import Problem
from t1c.ir.fields import Array

from .conventions import ConventionError
from .dialects import DIALECTS
from .raw import NirGraph, NirNode

Neurons = dict[str, NirNode]
_NEURONS = ("IF", "LIF", "LI", "CubaLIF", "CubaLI")


def recognise(raw: NirGraph) -> tuple[str, str]:
    """The dialect of a graph, and what gives it away.

    Raises:
        ConventionError: nothing, or several things, give it away.
    """
    neurons = {name: node for name, node in raw.walk() if node.type in _NEURONS}
    found = {name: why for name in TRACES if (why := _trace(name, raw, neurons))}
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        told = "it could be " + " or ".join(f"{name} ({why})" for name, why in found.items())
    else:
        told = "it bears no producer's traces"
    raise ConventionError(
        Problem(
            f"dialect='auto' cannot tell who wrote the graph: {told}",
            "the traces of exactly one producer",
            f"Say which: dialect={' or '.join(map(repr, DIALECTS))}; or leave dialect out and pass "
            "dt to read the graph as NIR defines it.",
            field="dialect",
        )
    )


def _trace(name: str, raw: NirGraph, neurons: Neurons) -> str:
    try:
        return TRACES[name](raw, neurons)
    except (ValueError, TypeError):  # fields of the wrong kind: the importer will name them
        return ""


def _rockpool(raw: NirGraph, neurons: Neurons) -> str:
    named = [n for n in neurons if re.search(r"_(LIF|LIFNeuron|ExpSyn)Torch$", n)]
    return f"node {named[0]!r} is named as Rockpool names its modules" if named else ""


def _spyx(raw: NirGraph, neurons: Neurons) -> str:
    inner = [n for n, node in raw.walk() if node.type not in ("Input", "Output")]
    if not inner or not all(re.match(r"layer_\d+", name) for name in inner):
        return ""
    for node in neurons.values():
        tau = node.fields.get("tau", node.fields.get("tau_mem"))
        if tau is not None and node.type != "LI" and not _close(node, "r", 1 - 1 / _array(tau)):
            return ""
    return "its nodes are named layer_0, layer_1, ... and r = 1 - 1/tau"


def _snntorch(raw: NirGraph, neurons: Neurons) -> str:
    for name, node in neurons.items():
        tau = node.fields.get("tau", node.fields.get("tau_mem"))
        # Recurrent layers come in double precision, under names such as '1.lif'.
        own = np.asarray(tau).dtype == np.float32 or name.endswith(".lif")
        if node.type not in ("LIF", "CubaLIF") or not own:
            return ""
        if not (_close(node, "r", _array(tau) / 1e-4) and _close(node, "v_leak", 0)):
            return ""
    return "r = tau / 1e-4 s in every neuron, in single precision" if neurons else ""


def _spikingjelly(raw: NirGraph, neurons: Neurons) -> str:
    for name, node in neurons.items():
        if node.type not in ("IF", "LIF", "CubaLIF") or name.endswith(".lif"):
            return ""
        r = np.asarray(node.fields.get("r", np.nan))
        if r.dtype != np.float64 or r.ndim == 0 or (r != r.flat[0]).any():
            return ""
        tau = node.fields.get("tau", node.fields.get("tau_mem"))
        steps = 1e4 if tau is None else _array(tau) / 1e-4
        plain = node.type == "LIF" and _close(node, "r", 1)
        if not (plain or _close(node, "r", steps)):
            return ""
        if node.type == "LIF" and not _close(node, "v_leak", _field(node, "v_reset")):
            return ""
    why = "every neuron has uniform parameters in double precision, with r = 1 or tau / 1e-4 s"
    return f"{why} (1 / 1e-4 s without tau)" if neurons else ""


def _norse(raw: NirGraph, neurons: Neurons) -> str:
    tiny = False
    for node in neurons.values():
        if not _close(node, "r", 1) or np.ndim(node.fields["r"]) != 0:
            return ""
        tau = node.fields.get("tau", node.fields.get("tau_mem"))
        tiny |= tau is not None and bool((_array(tau) < 1e-3).all())
    return "parameters are single numbers, r = 1, and tau is that of Norse times dt" if tiny else ""


def _sinabs(raw: NirGraph, neurons: Neurons) -> str:
    long = False
    for node in neurons.values():
        if node.type not in ("IF", "LIF", "LI") or not _close(node, "r", 1):
            return ""
        tau = node.fields.get("tau")
        if tau is not None and (_array(tau) < 1).any():
            return ""
        long |= tau is not None
    named = any(re.match(r"layer_\d+", name) for name in neurons)
    return "r = 1, and tau counts steps (at least 1)" if long and not named else ""


TRACES: dict[str, Callable[[NirGraph, Neurons], str]] = {
    "snntorch": _snntorch,
    "norse": _norse,
    "sinabs": _sinabs,
    "spikingjelly": _spikingjelly,
    "rockpool": _rockpool,
    "spyx": _spyx,
}
"""Dialect -> what gives a graph away as its, or ''. Lava does not write NIR."""


def _array(value: object) -> Array:
    return np.asarray(value, dtype=np.float64)


def _field(node: NirNode, name: str) -> Array:
    return _array(node.fields.get(name, np.nan))


def _close(node: NirNode, name: str, value: Array | float) -> bool:
    """Whether a field has this value, to single precision."""
    return bool(np.allclose(_field(node, name), value, rtol=1e-4, atol=1e-9))
