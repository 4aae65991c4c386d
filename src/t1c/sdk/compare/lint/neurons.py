"""Rules about neurons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.primitives.neuron import Neuron, parameter_shape
from t1c.ir.shapes import Shape, as_shape

from .bounds import highest_membrane
from .subject import Hit, Subject, some

LONG = 10_000
"""A time constant of more steps is taken for a slip of units."""


def _features(node: ir.Node) -> Shape:
    return as_shape((node.input_type or {}).get("input")) or ()


def _laid(node: ir.Node, name: str) -> Array:
    """A parameter over the node's features, in float64."""
    value = node.parameters()[name].astype(np.float64)
    return value.reshape(parameter_shape(value.shape, _features(node)))


def _share(mask: Array, node: ir.Node) -> tuple[int, int]:
    """Of how many neurons something is true, and how many there are."""
    full = np.broadcast_to(mask, _features(node))
    return int(full.sum()), full.size


def threshold_not_positive(subject: Subject) -> Iterator[Hit]:
    """A membrane at rest is there already: the neuron fires at every step without input."""
    for name, node in subject.spiking():
        threshold = node.parameters()["v_threshold"]
        bad = threshold <= 0
        if bad.any():
            yield Hit(
                name,
                f"v_threshold is {threshold[bad].min():.6g} for {int(bad.sum())} of "
                f"{threshold.size} values",
                "Check the sign and the unit of the threshold.",
            )


def _dead(subject: Subject) -> Iterator[tuple[str, int, int, float, float]]:
    """Neurons that cannot fire: name, count, of how many, the nearest membrane, its threshold."""
    for name, node in subject.spiking():
        reach, threshold = highest_membrane(node, subject.bounds[name], _features(node))
        # Rounding may lift a membrane by a hair.
        margin = 1e-6 * np.maximum(np.abs(reach), np.abs(threshold))
        with np.errstate(invalid="ignore"):
            never = reach < threshold - margin
        if never.any():
            count, size = _share(never, node)
            gap = np.where(never, threshold - reach, np.inf)
            nearest = np.unravel_index(int(gap.argmin()), gap.shape)
            high, limit = (np.broadcast_to(v, gap.shape)[nearest] for v in (reach, threshold))
            yield name, count, size, float(high), float(limit)
    for name, plain in subject.each(ir.Threshold):
        high, level = np.broadcast_arrays(subject.bounds[name][1], _laid(plain, "threshold"))
        if (high < level).any():
            count, size = _share(high < level, plain)
            nearest = np.unravel_index(int((level - high).argmin()), high.shape)
            yield name, count, size, float(high[nearest]), float(level[nearest])


def never_fires(subject: Subject) -> Iterator[Hit]:
    """Its input comes from spikes, and all of them together do not reach the threshold."""
    for name, count, size, high, limit in _dead(subject):
        if count == size:
            yield Hit(
                name,
                f"none of its {size:,} neurons can ever fire: the membrane reaches {high:.6g} at "
                f"most, the threshold is {limit:.6g}",
                "Lower the threshold, or scale the weights before it.",
            )


def some_never_fire(subject: Subject) -> Iterator[Hit]:
    """As T102, of a part of a population."""
    for name, count, size, high, limit in _dead(subject):
        if count < size:
            yield Hit(
                name,
                f"{count:,} of its {size:,} neurons can never fire; the nearest of them reaches "
                f"{high:.6g}, its threshold is {limit:.6g}",
                "They may be pruned, or need another threshold.",
            )


def _time_constants(subject: Subject) -> Iterator[tuple[str, str, Array]]:
    """The name of each neuron, and each of its time constants by field."""
    for name, node in subject.each(Neuron):
        for field in ("tau", "tau_mem", "tau_syn"):
            tau = node.parameters().get(field)
            if tau is not None:
                yield name, field, tau


def _at_or_above_threshold(subject: Subject, field: str) -> Iterator[tuple[str, int, int]]:
    """The neurons of which a field is not below the threshold: how many, and of how many."""
    for name, node in subject.spiking():
        if getattr(node, field) is not None:
            bad = _laid(node, field) >= _laid(node, "v_threshold")
            if bad.any():
                yield name, *_share(bad, node)


def no_memory(subject: Subject) -> Iterator[Hit]:
    """With beta = 1 - 1/tau = 0 nothing is left of one step in the next."""
    for name, field, tau in _time_constants(subject):
        if (tau == 1).all():
            yield Hit(
                name,
                f"{field} is 1: it keeps nothing from step to step",
                "Use a Threshold where no memory is meant, or check the unit of tau: steps.",
            )


def huge_tau(subject: Subject) -> Iterator[Hit]:
    """Such a neuron hardly decays while it runs; often a time constant in another unit."""
    for name, field, tau in _time_constants(subject):
        if (tau > LONG).any():
            yield Hit(
                name,
                f"{field} is {tau.max():.6g} steps",
                "tau counts steps: divide seconds by the time step; without decay use an IF.",
            )


def resets_above(subject: Subject) -> Iterator[Hit]:
    """It starts the next step where it fires."""
    for name, count, size in _at_or_above_threshold(subject, "v_reset"):
        yield Hit(
            name,
            f"{count:,} of its {size:,} neurons are reset to their threshold or above it",
            "Choose a v_reset below v_threshold.",
        )


def no_reset(subject: Subject) -> Iterator[Hit]:
    """A membrane above the threshold fires at every step until it decays."""
    for name, node in subject.spiking():
        if node.reset_mode == "none":
            yield Hit(
                name, "reset='none'", "Use 'zero' or 'subtract' if it should pay for a spike."
            )


def clamped_above(subject: Subject) -> Iterator[Hit]:
    """A membrane that never falls below its threshold fires at every step."""
    for name, count, size in _at_or_above_threshold(subject, "v_min"):
        yield Hit(
            name,
            f"v_min is at or above the threshold of {count:,} of its {size:,} neurons",
            "Choose a v_min below v_threshold.",
        )


def fires_alone(subject: Subject) -> Iterator[Hit]:
    """The leak alone drives the membrane to the threshold: there are spikes without input."""
    for name, node in subject.spiking():
        if "v_leak" in node.parameters():
            leak, threshold = _laid(node, "v_leak"), _laid(node, "v_threshold")
            bad = (leak > threshold) & (threshold > 0)
            if bad.any():
                count, size = _share(bad, node)
                yield Hit(
                    name,
                    f"{count:,} of its {size:,} neurons leak towards {leak.max():.6g}, above their "
                    "threshold",
                    "Lower v_leak if they should be silent without input.",
                )


def unlike_neurons(subject: Subject) -> Iterator[Hit]:
    """Often a slip: one layer was made with other options than the rest."""
    for option in ("reset_mode", "reset_delay", "fires_at", "spikes"):
        found: dict[object, list[str]] = defaultdict(list)
        for name, node in subject.spiking():
            found[getattr(node, option)].append(name)
        if len(found) > 1:
            field = option.removesuffix("_mode")
            kinds = "; ".join(f"{value!r} in {some(names)}" for value, names in found.items())
            yield Hit("", f"neurons differ in {field}: {kinds}", "Mend it, or leave it if meant.")


def rare_reset(subject: Subject) -> Iterator[Hit]:
    """Resets that few frameworks have: other readers and chips may not know them."""
    for name, node in subject.spiking():
        if node.reset_mode in ("hold", "carry", "lower"):
            yield Hit(
                name,
                f"reset={node.reset_mode!r}",
                "Train with 'zero' or 'subtract' if the network is to run elsewhere.",
            )


def deaf(subject: Subject) -> Iterator[Hit]:
    """What arrives is multiplied by 0."""
    for name, node in subject.each(Neuron):
        for field in ("r", "w_in"):
            value = node.parameters().get(field)
            if value is not None and (value == 0).all():
                yield Hit(name, f"{field} is 0: it never sees its input", f"Check {field}.")
