"""Neurons as a reader has them: its reset, its comparison, its gain.

A membrane is known by its spikes alone, and so its unit is free: where a reader adds all of the
input, one that takes a part of it (its gain) has a threshold that is as many times higher. And the
comparison is free in so far as ``u >= threshold`` is ``u > t`` for the number t next below.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import Problem
from t1c.ir.fields import Array
from t1c.ir.primitives.neuron import Neuron, SpikingNeuron, parameter_shape
from t1c.ir.shapes import Shape

from ..dialects import Neurons
from .draft import Draft

ENDLESS = 2.0**60
"""A time constant in steps with which nothing leaks, 1 - 1/tau being 1 in every precision."""

TAUS = {"LIF": ("tau",), "LI": ("tau",), "CubaLIF": ("tau_syn", "tau_mem")}
"""Type -> its time constants, that of its membrane the last."""


def adapt_neurons(draft: Draft) -> None:
    """Every neuron of a type that the reader runs; types that it does not are named elsewhere."""
    for name, found in draft.each(Neuron):
        how = draft.reader.neurons.get(found.primitive)
        if how is not None:
            node = _laid(found, draft.shapes[name])
            before = len(draft.problems)
            if how.fires:
                node = _options(draft, name, node, how)
            if len(draft.problems) == before:
                node = _gain(draft, name, node, how)
                if how.fires:
                    node = _comparison(draft, name, node)
                draft.nodes[name] = node
                _limits(draft, name, node, how)


def _laid(node: Any, shape: Shape) -> Any:
    """The node with its parameters in float64, ready to broadcast over its features."""
    return node.replace(
        **{
            name: np.asarray(value, np.float64).reshape(parameter_shape(value.shape, shape))
            for name, value in node.parameters().items()
        }
    )


def _options(draft: Draft, name: str, node: Any, how: Neurons) -> Any:
    """The node with the options of the reader, which are refused where they say something else."""
    reader = draft.reader
    if node.reset_mode == "value" and not node.v_reset.any():
        node = node.replace(reset=None, v_reset=None)
    if node.reset_mode == "lower" and not node.v_reset.any():
        node = node.replace(reset="subtract", v_reset=None)
    if node.reset_mode == "zero" and node.reset_delay and node.v_min is None:
        # At the end of a step or before the decay of the next, it is the same membrane.
        node = node.replace(reset_delay=False)
    late = reader.late and node.primitive in reader.neurons
    wanted = f"reset={reader.reset!r}"
    if late or node.reset_delay:
        wanted += f", reset_delay={late}"
    if (node.reset_mode, node.reset_delay) != (reader.reset, late):
        said = f"reset={node.reset_mode!r}" + (", reset_delay=True" if node.reset_delay else "")
        draft.refuse(
            name,
            Problem(
                f"{said}, which {draft.title} does not run: whatever the file says, its neurons "
                f"have {wanted}",
                wanted,
                f"Train with {wanted}.",
                field="reset",
            ),
        )
    if node.spikes != reader.spikes:
        several = "several spikes in a step where the membrane holds several thresholds"
        draft.refuse(
            name,
            Problem(
                f"{node.spikes!r}: {draft.title} sends "
                + (several if reader.spikes == "multiple" else "one spike at most in a step"),
                repr(reader.spikes),
                f"Train with spikes={reader.spikes!r}.",
                field="spikes",
            ),
        )
    if "v_leak" in node.parameters() and node.v_leak.any():
        draft.refuse(
            name,
            Problem(
                f"not 0, with which {draft.title} starts elsewhere, or which it does not run",
                "0",
                "Add v_leak / r to the bias of the layer before it.",
                field="v_leak",
            ),
        )
    floored = node.v_min is not None and bool((node.v_min == -node.v_threshold).all())
    if node.v_min is not None and not (floored and how.floor):
        draft.refuse(
            name,
            Problem(
                f"a bound of the membrane, which {draft.title} has not",
                "-v_threshold, or none" if how.floor else "none",
                "Train without v_min.",
                field="v_min",
            ),
        )
    return node


def _gain(draft: Draft, name: str, node: Any, how: Neurons) -> Any:
    """The node with the gain of the reader, and a threshold in the unit of that membrane."""
    if node.primitive == "IF":
        wanted = {"r": np.ones(())}
        if how.write_as and not (how.floor and node.v_min is not None):
            draft.change(
                name,
                f"a LIF with tau = 2^60 steps, which does not leak, as {draft.title} "
                "runs an IF otherwise",
            )
    else:
        *syn, tau = (getattr(node, field) for field in TAUS[node.primitive])
        plain = how.gain == "decayed" or (how.gain == "either" and (node.r == 1).all())
        wanted = {"r": np.ones(()) if plain else tau}
        if syn:
            wanted["w_in"] = syn[0] - 1 if how.gain == "synaptic" else syn[0]
    if how.gain == "free":
        wanted = {}
    factor = np.ones(())
    for field, value in wanted.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = factor * (getattr(node, field) / value)
    if not (np.isfinite(factor) & (factor > 0)).all():
        draft.refuse(
            name,
            Problem(
                "a gain of the input that is 0 or below, or has no unit there",
                f"a gain above 0: {draft.title} adds the input as it is",
                "Turn the sign of the weights before it instead.",
                field="r",
            ),
        )
        return node
    if (factor == 1).all():
        made = node.replace(**wanted)
    elif not how.fires:
        draft.refuse(
            name,
            Problem(
                f"a gain of {float(factor.flat[0]):.6g}: {draft.title} adds all of the input, and "
                "the membrane is the output",
                "r = tau",
                "Scale the weights before it, or after.",
                field="r",
            ),
        )
        return node
    else:
        scaled = {"v_threshold": node.v_threshold / factor}
        if node.v_min is not None:
            scaled["v_min"] = node.v_min / factor
        exact = (np.frexp(factor)[0] == 0.5).all()
        draft.change(
            name,
            f"its input is taken {_brief(factor)} times there, and its thresholds stand in that "
            "unit"
            + (
                ""
                if exact
                else ", rounded: a spike differs where a membrane lies within rounding "
                "of its threshold"
            ),
        )
        made = node.replace(**wanted, **scaled)
    if made.primitive == "IF" and how.write_as and made.v_min is None:
        shared = {n: v for n, v in made.values().items() if n not in ("r",)}
        endless = np.array(ENDLESS)
        made = ir.LIF(
            tau=endless, r=endless, v_leak=np.zeros(()), **shared,
            metadata=made.metadata,
        )  # fmt: skip
    return made


def _comparison(draft: Draft, name: str, node: Any) -> Any:
    """The node with the comparison of the reader."""
    wanted = draft.reader.fires_at
    if node.fires_at == wanted:
        return node
    if draft.reader.reset == "subtract":
        draft.refuse(
            name,
            Problem(
                f"{node.fires_at!r}: {draft.title} compares otherwise, and takes the threshold off "
                "again, so that it cannot be moved",
                repr(wanted),
                f"Train with fires_at={wanted!r}.",
                field="fires_at",
            ),
        )
        return node
    to = -np.inf if wanted == "gt" else np.inf
    moved = np.nextafter(node.v_threshold.astype(np.float32), np.float32(to))
    sign = {"gt": ">", "ge": ">="}
    draft.change(
        name,
        f"its thresholds are the numbers of single precision next {'below' if to < 0 else 'above'} "
        f"its own, since {draft.title} fires at {sign[wanted]} and it at {sign[node.fires_at]}",
    )
    return node.replace(fires_at=wanted, v_threshold=moved.astype(np.float64))


def _limits(draft: Draft, name: str, node: Any, how: Neurons) -> None:
    """What the importer asks of the parameters as they are now."""
    for field in how.alike:
        value = getattr(node, field)
        if np.unique(value).size > 1:
            draft.refuse(
                name,
                Problem(
                    f"{np.unique(value).size} different numbers"
                    + (" in the unit of its gain" if field == "v_threshold" else ""),
                    f"one for all neurons, which is all that {draft.title} takes",
                    "Train one for the layer"
                    + ("; weights can be scaled instead." if field == "v_threshold" else "."),
                    field=field,
                ),
            )
    for field in TAUS.get(node.primitive, ()):
        value = getattr(node, field)
        if how.above and (value <= how.least_tau).any():
            draft.refuse(
                name,
                Problem(
                    f"{value.min():g} steps, of which {draft.title} has no decay",
                    f"more than {how.least_tau:g}",
                    "Train with a longer one.",
                    field=field,
                ),
            )
    if how.positive and (node.v_threshold < 0).any():
        draft.refuse(
            name,
            Problem(
                f"{node.v_threshold.min():.6g}, at which {draft.title} resets without a spike",
                "0 or above (above 0 with fires_at='ge')",
                "Move the bias before it.",
                field="v_threshold",
            ),
        )
    shape = draft.shapes[name]
    if how.single and int(np.prod(shape)) != 1:
        draft.refuse(
            name,
            Problem(f"{int(np.prod(shape))} neurons", f"one, which is what {draft.title} makes"),
        )
    if draft.reader.per_channel and len(shape) > 1:
        for field, value in node.parameters().items():
            if value.ndim > 1 and any(size > 1 for size in value.shape[1:]):
                draft.refuse(
                    name,
                    Problem(
                        f"shape {value.shape}",
                        f"one number for each channel, which is all that {draft.title} reads",
                        "Train one for each channel.",
                        field=field,
                    ),
                )


def fires(node: ir.Node) -> bool:
    """Whether a node is a neuron that sends spikes."""
    return isinstance(node, SpikingNeuron)


def _brief(factor: Array) -> str:
    low, high = f"{factor.min():.6g}", f"{factor.max():.6g}"
    return f"1/{low}" if low == high else f"1/{low} to 1/{high}"
