"""The same numbers in another form: Flatten, Reshape, Squeeze, Unsqueeze, Transpose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from t1c import ir
from t1c.ir.shapes import Shape

from ..values import Batch, Signal, Sizes, Value
from .call import Call
from .registry import operator
from .sizes import squeezed_sizes, unsqueezed_sizes


@operator("Flatten")
def flatten(call: Call) -> Signal:
    """All features in one axis."""
    x = call.signal()
    axis = int(call.attributes("axis", 1))
    at = axis + x.rank if axis < 0 else axis
    if at < 1 or any(n != 1 for n in x.shape[: at - 1]):
        raise call.refuse(
            f"axis={axis}: it would merge the batch with features", "axis=1, behind the batch"
        )
    return call.add(ir.Flatten(), x)


@operator("Reshape")
def reshape(call: Call) -> Signal:
    """Another shape of the features; the batch stays the first axis."""
    x = call.signal()
    keep = bool(call.attributes("allowzero", 0))
    target = call.value(1)
    if isinstance(target, Sizes):
        sizes: Sequence[int | Batch] = target.values
    else:
        sizes = call.ints(1)
    full: tuple[int | Batch, ...] = (Batch.SIZE, *x.shape)
    if not keep:
        sizes = [full[i] if n == 0 and i < x.rank else n for i, n in enumerate(sizes)]
    return _reshaped(call, x, sizes)


@operator("Squeeze")
def squeeze(call: Call) -> Value:
    """Without some axes of size 1."""
    axes = call.attributes.ints("axes") if call.opset < 13 else call.ints(1)
    if isinstance(call.value(0), Sizes):
        return squeezed_sizes(call, axes)
    x = call.signal()
    if axes is None:
        raise call.refuse("no axes: the batch would go too, where it is 1", "the axes to drop")
    gone = {call.axis(axis, x.rank) for axis in axes}
    if any(x.shape[axis] != 1 for axis in gone):
        raise call.refuse(f"axes={axes} of shape (batch, {_listed(x.shape)})", "axes of size 1")
    return of_shape(call, x, tuple(n for i, n in enumerate(x.shape) if i not in gone))


@operator("Unsqueeze")
def unsqueeze(call: Call) -> Value:
    """With axes of size 1 more."""
    axes = call.attributes.ints("axes") if call.opset < 13 else call.ints(1)
    if isinstance(call.value(0), Sizes):
        return unsqueezed_sizes(call)
    x = call.signal()
    rank = x.rank + len(axes)
    new = {call.axis(axis, rank) for axis in axes}
    rest = iter(x.shape)
    return of_shape(call, x, tuple(1 if i in new else next(rest) for i in range(rank - 1)))


@operator("Transpose")
def transpose(call: Call) -> Signal:
    """The feature axes in another order."""
    x = call.signal()
    order = call.attributes.ints("perm", tuple(reversed(range(x.rank))))
    if order[0] != 0:
        raise call.refuse(f"perm={order}: the batch would not stay first", "perm=(0, ...)")
    return call.add(ir.Transpose(tuple(axis - 1 for axis in order[1:])), x)


def _reshaped(call: Call, x: Signal, sizes: Sequence[int | Batch]) -> Signal:
    count = math.prod(x.shape)
    told = [n.value if isinstance(n, Batch) else n for n in sizes]
    mixed = call.refuse(
        f"shape {told} for (batch, {_listed(x.shape)}): it would mix samples of the batch",
        f"the batch first, and {count} features behind it",
        "Export the model with a batch axis that may have any size.",
    )
    # A number in the first place is the batch only where the file fixes it to this number.
    first = sizes[0] in (Batch.SIZE, -1) or (call.batch is not None and sizes[0] == call.batch)
    features = [n for n in sizes[1:] if not isinstance(n, Batch)]
    if not first or not features or len(features) != len(sizes) - 1:
        raise mixed
    known = math.prod(n for n in features if n != -1)
    if -1 in features:
        # Of two open sizes, neither tells the other.
        if sizes[0] == -1 or not known or count % known:
            raise mixed
        features = [count // known if n == -1 else n for n in features]
    elif known != count:
        raise mixed
    return of_shape(call, x, tuple(features))


def of_shape(call: Call, x: Signal, shape: Shape) -> Signal:
    """The signal laid out as another shape of as many features.

    Raises:
        UnsupportedError: no axis is left.
    """
    if not shape:
        raise call.refuse("nothing but the batch is left", "an axis of features")
    if shape == x.shape:
        return call.add(ir.Identity(), x)
    if len(shape) == 1:
        return call.add(ir.Flatten(), x)
    return call.add(ir.Reshape(shape), x)


def _listed(shape: Shape) -> str:
    return ", ".join(map(str, np.asarray(shape).tolist()))
