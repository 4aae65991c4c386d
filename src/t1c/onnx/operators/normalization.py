"""Normalisations, by stored statistics or by those of each sample."""

from __future__ import annotations

import numpy as np

from t1c import ir

from ..values import Signal
from .call import Call
from .registry import operator

BATCH_NORMS = {1: ir.BatchNorm1d, 2: ir.BatchNorm1d, 3: ir.BatchNorm2d, 4: ir.BatchNorm3d}


@operator("BatchNormalization")
def batch_normalization(call: Call) -> Signal:
    """By the statistics that stand in the file."""
    x = call.signal()
    weight, bias, mean, var = (call.known(place) for place in range(1, 5))
    call.attributes.must("training_mode", 0, "it would take the statistics of the batch")
    if call.opset < 14 and call.outputs > 1:
        raise call.refuse(
            f"{call.outputs} outputs, by which opset {call.opset} says that it is in training",
            "one output",
            "Export the model in eval mode.",
        )
    call.attributes.must("spatial", 1, "it would normalise each element by its own statistics")
    call.attributes.means_nothing("momentum")  # of training
    if len(x.shape) not in BATCH_NORMS:
        raise call.refuse(f"a signal of {x.rank} axes", "2 to 5")
    node = BATCH_NORMS[len(x.shape)](
        weight.size, weight, bias, mean, var, eps=float(call.attributes("epsilon", 1e-5))
    )
    return call.add(node, x)


@operator("LayerNormalization")
def layer_normalization(call: Call) -> Signal:
    """By mean and variance over the axes from one on, of each sample."""
    x, weight = call.signal(), call.known(1)
    first = call.axis(int(call.attributes("axis", -1)), x.rank)
    call.attributes.must("stash_type", 1, "mean and variance in another precision")
    shape = x.shape[first:]
    bias = call.known(2, np.zeros(1, weight.dtype))
    weight, bias = (np.ascontiguousarray(np.broadcast_to(p, shape)) for p in (weight, bias))
    eps = float(call.attributes("epsilon", 1e-5))
    return call.add(ir.LayerNorm(shape, weight, bias, eps=eps), x)


@operator("InstanceNormalization")
def instance_normalization(call: Call) -> Signal:
    """By mean and variance of each channel's map, of each sample."""
    x, weight, bias = call.signal(), call.known(1), call.known(2)
    eps = float(call.attributes("epsilon", 1e-5))
    return call.add(ir.GroupNorm(weight.size, weight, bias, eps=eps), x)


@operator("GroupNormalization")
def group_normalization(call: Call) -> Signal:
    """By mean and variance of groups of channels; before opset 21 a weight for each group."""
    x, weight, bias = call.signal(), call.known(1), call.known(2)
    call.attributes.must("stash_type", 1, "mean and variance in another precision")
    groups = int(call.attributes("num_groups"))
    if call.opset < 21:
        weight, bias = (np.repeat(p, x.shape[0] // groups) for p in (weight, bias))
    eps = float(call.attributes("epsilon", 1e-5))
    return call.add(ir.GroupNorm(groups, weight, bias, eps=eps), x)
