"""How a graph is to be made one of integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from t1c import ir
from t1c.ir.errors import InputError, Problem

Scales = Literal["free", "power_of_two"]
Fit = Literal["largest", "least_squares"]

WEIGHT_BITS = (2, 16)
"""The fewest and the most bits of a weight."""


@dataclass(frozen=True)
class Options:
    """What ``quantize`` was asked for; see there.

    Raises:
        InputError: a number is out of range, or a word is not known.
    """

    weight_bits: int | Mapping[str, int] = 8
    accumulator_bits: int = 16
    state_bits: int = 16
    input_bits: int = 8
    decay_bits: int = 8
    per_channel: bool = True
    scales: Scales = "free"
    fit: Fit = "largest"
    inputs: Literal["spikes"] | tuple[float, float] | None = None
    readout: bool = True
    keep: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check every number and word."""
        bits = self.weight_bits
        asked = bits if isinstance(bits, Mapping) else {"": bits}
        for name, number in asked.items():
            field = f"weight_bits[{name!r}]" if name else "weight_bits"
            _in_range(field, number, *WEIGHT_BITS)
        _in_range("accumulator_bits", self.accumulator_bits, 4, 32)
        _in_range("state_bits", self.state_bits, 4, 32)
        _in_range("input_bits", self.input_bits, 2, 16)
        _in_range("decay_bits", self.decay_bits, 1, 16)
        for field, words in (("scales", get_args(Scales)), ("fit", get_args(Fit))):
            if getattr(self, field) not in words:
                expected = " or ".join(map(repr, words))
                raise InputError(Problem(repr(getattr(self, field)), expected, field=field))
        if not (self.inputs in (None, "spikes") or _is_range(self.inputs)):
            expected = "'spikes', or (least, greatest)"
            raise InputError(Problem(repr(self.inputs), expected, field="inputs"))
        if isinstance(self.keep, str):
            raise InputError(Problem(repr(self.keep), "a list of names", field="keep"))

    def bits_of(self, name: str) -> int:
        """How many bits the weights of a node have."""
        if isinstance(self.weight_bits, Mapping):
            return self.weight_bits.get(name, DEFAULT_BITS)
        return self.weight_bits

    def check_names(self, graph: ir.Graph) -> None:
        """Every name that is given is that of a node.

        Args:
            graph: with nested graphs inlined.

        Raises:
            InputError: naming those that are not.
        """
        bits = self.weight_bits if isinstance(self.weight_bits, Mapping) else {}
        for field, names in (("weight_bits", bits), ("keep", self.keep)):
            for name in names:
                inside = any(n.startswith(f"{name}.") for n in graph.nodes)
                if name not in graph.nodes and not (field == "keep" and inside):
                    known = ", ".join(map(repr, graph.nodes))
                    raise InputError(Problem(f"{name!r}", f"a node: {known}", field=field))


DEFAULT_BITS = 8
"""Of the layers that a dict of weight_bits does not name."""


def _in_range(field: str, number: object, low: int, high: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise InputError(Problem(repr(number), f"an integer from {low} to {high}", field=field))


def _is_range(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and value[0] < value[1]
