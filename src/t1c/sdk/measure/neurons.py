"""What neurons are set to: time constants, thresholds, resets, as values or ranges with units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.primitives.neuron import Neuron, SpikingNeuron

from ..numbers import format_seconds

FIRST = ("tau", "tau_mem", "tau_syn", "v_threshold", "threshold", "v_reset", "v_min")
"""What people ask for first; the rest follows in the order of declaration."""
RESETS = {
    "zero": "reset to zero",
    "value": "reset to v_reset",
    "subtract": "reset by subtraction",
    "lower": "reset by v_threshold - v_reset",
    "none": "no reset",
}
COMPARING = ("greater", "greater_or_equal")


@dataclass(frozen=True)
class Setting:
    """One parameter of a node.

    Attributes:
        name: of the field; ``node.field`` of a node in a neuron that is a graph.
        low: the smallest value.
        high: the largest.
        count: how many numbers it holds: 1 is one for all.
        unit: 'steps' for times, 's' for those that are told in seconds alone; empty for others.
        seconds: of low and high, where the length of a step is known.
    """

    name: str
    low: float
    high: float
    count: int
    unit: str = ""
    seconds: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """For people: ``tau 8 steps (0.8 ms)``, ``v_threshold 0.5 to 1.5``.

        Example:
            >>> Setting("tau", 4.0, 12.0, 100, "steps", (0.0004, 0.0012)).text
            'tau 4 to 12 steps (400 µs to 1.2 ms)'
        """
        if self.unit == "s":
            return f"{self.name} {_range(format_seconds(self.low), format_seconds(self.high))}"
        both = f"{self.low:.6g}", f"{self.high:.6g}"
        unit = f" {self.unit.removesuffix('s') if both == ('1', '1') else self.unit}".rstrip()
        real = "" if self.seconds is None else f" ({_range(*map(format_seconds, self.seconds))})"
        return f"{self.name} {_range(*both)}{unit}{real}"


@dataclass(frozen=True)
class NeuronSettings:
    """What a population of neurons is set to.

    Attributes:
        settings: its parameters.
        reset: what firing does to the membrane: 'zero', 'value', 'subtract', 'lower', 'none',
            'hold' or 'carry'; None where nothing fires, or the neuron is a graph.
        reset_delay: the reset takes place at the start of the next step.
        fires_at: 'ge' at the threshold or above, 'gt' above it only; None where nothing fires.
        spikes: 'binary', or 'multiple' where one step may hold several.
    """

    settings: tuple[Setting, ...]
    reset: str | None = None
    reset_delay: bool = False
    fires_at: str | None = None
    spikes: str = "binary"

    @property
    def text(self) -> str:
        """For people, on one line."""
        parts = [setting.text for setting in self.settings]
        if self.reset is not None:
            words = RESETS.get(self.reset, f"reset {self.reset!r}")
            parts.append(words + (" a step later" if self.reset_delay else ""))
        if self.fires_at == "gt":
            parts.append("fires above the threshold only")
        if self.spikes == "multiple":
            parts.append("several spikes in a step")
        return ", ".join(parts)


def neuron_settings(node: ir.Node, dt: float | None = None) -> NeuronSettings | None:
    """What a node is set to, if it is a neuron, a Threshold or a Delay; None for others.

    Args:
        node: which may be a graph that is a neuron; see ``is_neuron``.
        dt: seconds in one step, if that is known.

    Example:
        >>> node = ir.LIF(*map(np.array, (8.0, 8.0, 0.0, 1.0)))
        >>> neuron_settings(node, dt=1e-4).text
        'tau 8 steps (800 µs), v_threshold 1, r 8, v_leak 0, reset to zero'
    """
    if isinstance(node, ir.Graph):
        if not is_neuron(node):
            return None
        inner = node.flat().nodes.items()
        return NeuronSettings(
            tuple(s for name, part in inner for s in _settings(part, dt, f"{name}."))
        )
    if not isinstance(node, Neuron | ir.Threshold | ir.Delay):
        return None
    return NeuronSettings(
        tuple(_settings(node, dt)),
        node.reset_mode if isinstance(node, SpikingNeuron) else None,
        isinstance(node, SpikingNeuron) and node.reset_delay,
        getattr(node, "fires_at", None),
        getattr(node, "spikes", "binary"),
    )


def stated_settings(fields: Mapping[str, Array]) -> NeuronSettings:
    """What a NIR file says of a neuron or Delay, where no step is known: times in seconds.

    Args:
        fields: name -> numbers, as ``t1c.nir.read_timeless`` gives them.

    Example:
        >>> stated_settings({"r": np.ones(2), "tau": np.array([0.005, 0.02])}).text
        'tau 5 ms to 20 ms, r 1'
    """
    return NeuronSettings(
        tuple(
            Setting(
                name,
                float(fields[name].min()),
                float(fields[name].max()),
                fields[name].size,
                "s" if name.startswith("tau") or name == "delay" else "",
            )
            for name in _in_order(fields)
            if fields[name].size
        )
    )


def fires(node: ir.Node) -> bool:
    """Whether a node's output is spikes: of a neuron that fires, or of a Threshold."""
    if isinstance(node, ir.Graph):
        return is_neuron(node)
    return isinstance(node, SpikingNeuron | ir.Threshold)


def is_neuron(graph: ir.Graph) -> bool:
    """Whether a graph is one population of neurons that no primitive says.

    It has one Output, remembers by Delays, compares, and holds neither weights that add up nor
    neurons that are primitives.
    """
    nodes = graph.flat().nodes.values()
    return (
        len(graph.outputs()) == 1
        and any(isinstance(node, ir.Delay) for node in nodes)
        and any(_compares(node) for node in nodes)
        and not any(isinstance(node, Neuron) for node in nodes)
        and not graph.macs()
    )


def _compares(node: ir.Node) -> bool:
    return isinstance(node, ir.Threshold) or (isinstance(node, ir.Binary) and node.op in COMPARING)


def _settings(node: ir.Node, dt: float | None, prefix: str = "") -> Iterator[Setting]:
    arrays = node.parameters()
    if isinstance(node, ir.Delay) and not node.initial.any():
        arrays.pop("initial")
    for name in _in_order(arrays):
        yield _setting(node, name, arrays[name], dt, prefix)


def _in_order(names: Iterable[str]) -> list[str]:
    """What people ask for first comes first."""
    return sorted(names, key=lambda n: FIRST.index(n) if n in FIRST else len(FIRST))


def _setting(node: ir.Node, name: str, values: Array, dt: float | None, prefix: str) -> Setting:
    low, high = float(values.min()), float(values.max())
    time = name.startswith("tau") or (isinstance(node, ir.Delay) and name == "delay")
    return Setting(
        prefix + name,
        low,
        high,
        int(np.size(values)),
        "steps" if time else "",
        (low * dt, high * dt) if time and dt is not None else None,
    )


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
