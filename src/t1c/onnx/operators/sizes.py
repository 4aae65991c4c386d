"""Shapes that a model computes: ``x.view(x.size(0), -1)`` and the like.

The size of the batch is carried along by name. What would compute with it is refused: it means
something for one size of batch only, or mixes samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..values import Batch, Sizes
from .call import Call
from .registry import operator


@operator("Shape")
def shape(call: Call) -> Sizes:
    """The sizes of a signal's axes, the batch first."""
    x = call.signal()
    sizes: tuple[int | Batch, ...] = (Batch.SIZE, *x.shape)
    start, end = call.attributes("start", 0), call.attributes("end")
    return Sizes(sizes[slice(start, end)])


def picked_sizes(call: Call) -> Sizes:
    """Some of the sizes."""
    call.attributes.must("axis", 0, "sizes have one axis")
    sizes, at = _sizes(call, 0), call.known(1)
    taken = tuple(sizes.values[int(n)] for n in np.ravel(at))
    return Sizes(taken, scalar=np.ndim(at) == 0)


def squeezed_sizes(call: Call, axes: Sequence[int] | None) -> Sizes:
    """One size without its axis."""
    sizes = _sizes(call, 0)
    if len(sizes.values) != 1 or (axes is not None and tuple(axes) not in ((0,), (-1,))):
        raise call.refuse(f"axes={axes} of {len(sizes.values)} sizes", "one size")
    return Sizes(sizes.values, scalar=True)


def unsqueezed_sizes(call: Call) -> Sizes:
    """One size with an axis again."""
    sizes = _sizes(call, 0)
    if not sizes.scalar:
        raise call.refuse("sizes on several axes", "one axis")
    return Sizes(sizes.values)


def joined_sizes(call: Call) -> Sizes:
    """Sizes and whole numbers, one after another."""
    joined: list[int | Batch] = []
    for place, value in enumerate(call.inputs):
        joined += value.values if isinstance(value, Sizes) else list(call.ints(place))
    return Sizes(tuple(joined))


def _sizes(call: Call, place: int) -> Sizes:
    value = call.value(place)
    if not isinstance(value, Sizes):
        raise call.refuse(f"input {place + 1} are no sizes of a tensor")
    return value
