"""Two traces side by side: what differs, and where each sample first parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from t1c.ir.errors import InputError, Problem

from .trace import Trace


@dataclass(frozen=True)
class Count:
    """How many numbers were compared, how many of them differ, and the largest difference.

    Attributes:
        compared: how many.
        differing: how many of them differ by more than the tolerance.
        largest: the largest difference among all, equal or not; nan where a number is not finite
            on one side only, or NaN.
    """

    compared: int = 0
    differing: int = 0
    largest: float = 0.0

    def __add__(self, other: Count) -> Count:
        both = torch.tensor([self.largest, other.largest], dtype=torch.float64)
        return Count(
            self.compared + other.compared,
            self.differing + other.differing,
            float(both.max()),  # NaN wins
        )


@dataclass(frozen=True)
class Place:
    """Where one sample first parts.

    Attributes:
        step, node, sample: where. ``node`` is an output's name if ``is_output``.
        rank: orders the nodes; a node comes after those it needs.
        is_output: no node that both sides show differs yet, but an output does.
        what: 'spike' (of a neuron that fires or a Threshold, on either side, or of an output that
            passes them on), 'value' (of any other node) or 'potential'.
        elements: which features differ, a boolean tensor (*features).
    """

    step: int
    node: str
    sample: int
    rank: int
    is_output: bool
    what: str
    elements: Tensor


@dataclass(frozen=True)
class Comparison:
    """All that was compared.

    Attributes:
        outputs, spikes, values, potentials: the counts; spikes and values are those of nodes that
            fire and of all others.
        nodes: the nodes that both sides show, in order.
        places: where each differing sample first parts, the earliest first.
    """

    outputs: Count
    spikes: Count
    values: Count
    potentials: Count
    nodes: tuple[str, ...]
    places: tuple[Place, ...]

    @property
    def reach(self) -> tuple[float, float]:
        """How far the two go together: step and rank of the first difference."""
        return min(((p.step, p.rank) for p in self.places), default=(math.inf, math.inf))


def compare(a: Trace, b: Trace, tolerance: float, order: Sequence[str]) -> Comparison:
    """Lay two traces side by side.

    Two numbers differ if they are further apart than ``tolerance`` times the largest magnitude of
    that node's numbers; NaN differs from everything.

    Args:
        a: one trace.
        b: the other.
        tolerance: relative; 0 asks for the same bits.
        order: nodes in the order of work; those that both traces show are compared.

    Raises:
        InputError: the outputs have different names or shapes.
    """
    pairs = _outputs(a, b)
    nodes = [
        n
        for n in order
        if n in a.values and n in b.values and a.values[n].shape == b.values[n].shape
    ]
    spikes = values = potentials = outputs = Count()
    masks: list[_Mask] = []
    for node in nodes:
        mine, theirs = a.potentials.get(node), b.potentials.get(node)
        mask, count = _differing(a.values[node], b.values[node], tolerance)
        fires = node in a.fired or node in b.fired
        spikes, values = (spikes + count, values) if fires else (spikes, values + count)
        masks.append(_Mask(node, False, "spike" if fires else "value", mask))
        if mine is not None and theirs is not None and mine.shape == theirs.shape:
            mask, count = _differing(mine, theirs, tolerance)
            potentials += count
            masks.append(_Mask(node, False, "potential", mask))
    for name, (mine, theirs) in pairs.items():
        mask, count = _differing(mine, theirs, tolerance)
        outputs += count
        kind = "spike" if name in a.spiking | b.spiking else "value"
        masks.append(_Mask(name, True, kind, mask, a.last.get(name, 0)))
    return Comparison(outputs, spikes, values, potentials, tuple(nodes), _places(masks))


def _outputs(a: Trace, b: Trace) -> dict[str, tuple[Tensor, Tensor]]:
    """Outputs in pairs; where each side has one, its name does not matter."""
    if len(a.outputs) == len(b.outputs) == 1:
        (name,), (mine,), (theirs,) = a.outputs, a.outputs.values(), b.outputs.values()
        pairs = {name: (mine, theirs)}
    elif set(a.outputs) == set(b.outputs):
        pairs = {name: (mine, b.outputs[name]) for name, mine in a.outputs.items()}
    else:
        raise InputError(
            Problem(
                f"a has the outputs {list(a.outputs)}, b has {list(b.outputs)}",
                "the same outputs on both sides",
            )
        )
    problems = [
        Problem(
            f"{tuple(mine.shape)} from a and {tuple(theirs.shape)} from b",
            "equal shapes (T, B, ...), or (1, B, ...) of an Output that is final on both sides",
            where=f"output {name!r}",
        )
        for name, (mine, theirs) in pairs.items()
        if mine.shape != theirs.shape
    ]
    if problems:
        raise InputError(problems)
    return pairs


def _differing(a: Tensor, b: Tensor, tolerance: float) -> tuple[Tensor, Count]:
    # Most nodes are equal on both sides: that is seen at once.
    if a.dtype == b.dtype and bool((a == b).all()):
        return torch.zeros_like(a, dtype=torch.bool), Count(a.numel())
    a, b = a.double(), b.double()
    scale = max(_largest(a), _largest(b))
    apart = (a - b).abs()
    # Equal infinities are zero apart, though inf - inf is NaN.
    apart = torch.where(a == b, torch.zeros_like(apart), apart)
    mask = ~(apart <= tolerance * scale)
    largest = float(apart.max()) if apart.numel() else 0.0
    return mask, Count(mask.numel(), int(mask.sum()), largest)


def _largest(values: Tensor) -> float:
    """The largest magnitude of those that are finite."""
    return float(values.abs().nan_to_num(0.0, 0.0).max()) if values.numel() else 0.0


@dataclass(frozen=True)
class _Mask:
    """Where one node differs.

    Attributes:
        node, is_output, what: as of ``Place``.
        differs: (T, B, *features).
        first: the number of its first step.
    """

    node: str
    is_output: bool
    what: str
    differs: Tensor
    first: int = 0


def _places(masks: list[_Mask]) -> tuple[Place, ...]:
    """The first parting of each sample: the earliest step, and in it the first node."""
    first: dict[int, tuple[int, int]] = {}
    for rank, mask in enumerate(masks):
        here = mask.differs.flatten(2).any(2) if mask.differs.dim() > 2 else mask.differs
        for sample in here.any(0).nonzero().flatten().tolist():
            step = mask.first + int(here[:, sample].to(torch.uint8).argmax())
            first[sample] = min(first.get(sample, (step, rank)), (step, rank))
    places = []
    for sample, (step, rank) in sorted(first.items(), key=lambda entry: (entry[1], entry[0])):
        m = masks[rank]
        elements = m.differs[step - m.first, sample]
        places.append(Place(step, m.node, sample, rank, m.is_output, m.what, elements))
    return tuple(places)
