"""Rules about the numbers in arrays."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from t1c import ir
from t1c.ir.fields import Array

from ...ties import stated_ties
from .subject import WEIGHTED, Hit, Subject, some

FEW = 16
"""Arrays of fewer numbers may be equal by chance or by design."""
LOST = 0.5
"""So many of the weights may become 0 when they are rounded to few bits."""


def _weights(node: ir.Node) -> dict[str, Array]:
    return {name: value for name, value in node.parameters().items() if "weight" in name}


def not_finite(subject: Subject) -> Iterator[Hit]:
    """One such number spreads through everything behind it."""
    for name, node in subject.flat.nodes.items():
        for problem in node.nonfinite():
            yield Hit(name, f"{problem.field}: {problem.found}", "Train again, or mend it.")


def all_zero(subject: Subject) -> Iterator[Hit]:
    """The layer sends its bias, whatever arrives."""
    for name, node in subject.each(WEIGHTED):
        for field, value in _weights(node).items():
            if not value.any():
                yield Hit(name, f"{field} is zero everywhere", "Check how it was made or loaded.")


def same_twice(subject: Subject) -> Iterator[Hit]:
    """Either a slip, or parameters that should be one: without a note they are two."""
    found: dict[tuple[str, object, str], list[str]] = defaultdict(list)
    noted = {(tie.node, tie.field) for tie in stated_ties(subject.flat.nodes)}
    for name, node in subject.each(WEIGHTED):
        for field, value in _weights(node).items():
            if value.size >= FEW and value.any() and (name, field) not in noted:
                digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
                found[str(value.dtype), value.shape, digest].append(f"{name}.{field}")
    for places in found.values():
        if len(places) > 1:
            yield Hit(
                places[1].rpartition(".")[0],
                f"the same numbers in {some(places)}, and no note that they are one",
                "Note it: metadata={'copy_of': ...}, or {'tied': {...}}; see docs/file-format.md.",
            )


def mixed_dtypes(subject: Subject) -> Iterator[Hit]:
    """The graph runs in one dtype, and rounds those of another."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, node in subject.each(WEIGHTED):
        for value in _weights(node).values():
            found[str(value.dtype)].append(name)
    if len(found) > 1:
        kinds = "; ".join(f"{dtype} in {some(names)}" for dtype, names in found.items())
        yield Hit("", f"weights of several dtypes: {kinds}", "Convert them to one.")


def few_levels(subject: Subject) -> Iterator[Hit]:
    """A few large weights take all the levels that weight_bits allow."""
    for name, node in subject.each(ir.SpikingAffine):
        size = np.abs(node.weight.astype(np.float64))
        levels = 2 ** (node.weight_bits - 1) - 1
        if not size.any() or levels < 1 or not np.isfinite(size).all():
            continue
        there = size > 0
        lost = float((size[there] < size.max() / levels / 2).mean())
        if lost > LOST:
            yield Hit(
                name,
                f"in {node.weight_bits} bits {lost:.0%} of its weights would become 0, because the "
                f"largest is {size.max():.4g} and half of them are below {np.median(size):.2g}",
                "Clip the few large weights, or give weight_bits more.",
            )


def narrow_accumulator(subject: Subject) -> Iterator[Hit]:
    """If all inputs spike at once, the sum of quantised weights can overflow."""
    for name, node in subject.each(ir.SpikingAffine):
        size = np.abs(node.weight.astype(np.float64))
        if not size.any() or not np.isfinite(size).all():
            continue
        levels = max(2 ** (node.weight_bits - 1) - 1, 1)
        most = float((np.rint(size / size.max() * levels)).sum(axis=1).max())
        limit = 2 ** (node.accumulator_bits - 1) - 1
        if most > limit:
            yield Hit(
                name,
                f"a sum can reach {most:.4g} steps of its weights, and "
                f"{node.accumulator_bits} bits hold {limit:,}",
                "Give accumulator_bits more, or weight_bits less.",
            )


def constant_outputs(subject: Subject) -> Iterator[Hit]:
    """A row of zeros gives its bias at every step: it could go."""
    for name, node in subject.each(
        (ir.Affine, ir.SpikingAffine, ir.Linear, ir.Conv1d, ir.Conv2d, ir.Conv3d)
    ):
        weight = node.parameters()["weight"]
        rows = np.any(weight.reshape(len(weight), -1) != 0, axis=1)
        if rows.any() and not rows.all():
            yield Hit(
                name,
                f"{int((~rows).sum()):,} of its {len(rows):,} outputs have no weights",
                "Prune them, with what they lead to.",
            )
