"""Parts of a signal, and signals joined: Slice, Split, Concat."""

from __future__ import annotations

from t1c import ir

from ..values import Sizes, Value
from .call import Call
from .registry import operator
from .sizes import joined_sizes

FAR = 2**31 - 1
"""Where exporters end what goes to the end."""


@operator("Concat")
def concat(call: Call) -> Value:
    """Signals joined along an axis of features."""
    if any(isinstance(value, Sizes) for value in call.inputs):
        call.attributes.must("axis", 0, "sizes have one axis")
        return joined_sizes(call)
    signals = [call.signal(place) for place in range(len(call.inputs))]
    axis = call.axis(int(call.attributes("axis", 1)), signals[0].rank)
    return call.add(ir.Concat(axis), *signals)


@operator("Slice")
def take(call: Call) -> Value:
    """Some places of some axes."""
    if call.opset < 10:
        starts, ends = call.attributes.ints("starts"), call.attributes.ints("ends")
        axes, steps = call.attributes.ints("axes"), None
    else:
        starts, ends, axes, steps = (call.ints(place) for place in range(1, 5))
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    value = call.value(0)
    if isinstance(value, Sizes):
        if len(starts) != 1:
            raise call.refuse("sizes on several axes", "one axis")
        return Sizes(value.values[slice(starts[0], ends[0], steps[0])])
    x = call.signal()
    cut = x
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = call.axis(axis, x.rank)
        if step < 1:
            raise call.refuse(f"steps={steps}: backwards", "steps of at least 1")
        stop = None if end >= min(FAR, x.shape[at]) else end
        start = max(start, -x.shape[at])
        if (start, stop, step) == (0, None, 1):
            continue
        cut = call.add(ir.Slice(at, start, stop, step), cut)
    return call.add(ir.Identity(), x) if cut is x else cut


@operator("Split")
def split(call: Call) -> list[Value]:
    """Parts of given sizes, or of equal ones, one after another."""
    x = call.signal()
    axis = call.axis(int(call.attributes("axis", 0)), x.rank)
    sizes = call.attributes.ints("split") if call.opset < 13 else call.ints(1)
    if sizes is None:
        parts = int(call.attributes("num_outputs", call.outputs))
        each = -(-x.shape[axis] // parts)
        sizes = [min(each, x.shape[axis] - i * each) for i in range(parts)]
    else:
        call.attributes.means_nothing("num_outputs")
    made: list[Value] = []
    start = 0
    for place, size in enumerate(sizes):
        if place in call.wanted:
            node = ir.Slice(axis, start, start + size)
            made.append(call.add(node, x, part=str(place)))
        else:
            made.append(x)
        start += size
    return made
