"""Comparing primitives with what torch computes: shapes, reference step and module at once."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.bridge.modules import MergeModule

EXACT_DTYPES = (torch.float64, torch.float32)
CLOSE_DTYPES = (torch.float64,)


def grid(seed, *shape, low=-256, high=256):
    """Random multiples of 1/256, as a torch tensor in float64."""
    values = np.random.default_rng(seed).integers(low, high + 1, shape) / 256
    return torch.from_numpy(np.asarray(values, dtype=np.float64))


def real(seed, *shape, scale=3.0):
    """Random numbers that lie on no grid."""
    return torch.from_numpy(np.random.default_rng(seed).normal(0, scale, shape))


def torch_says(function):
    """What torch computes, or None where it refuses."""
    try:
        return function()
    except (RuntimeError, ValueError, IndexError):
        return None


def agree(make_node, inputs, want, exact=False):
    """Graph, reference and bridge give what torch gave; or refuse, if torch did (``want`` None).

    ``make_node`` is a function, because constructing the node may be what is refused.
    """
    xs = inputs if isinstance(inputs, list) else [inputs]
    shapes = [tuple(x.shape[1:]) for x in xs]
    if want is None:
        with pytest.raises(ir.T1CError):
            make_node().shapes(shapes)
        return
    node = make_node()
    names = [f"input{i}" for i in range(len(xs))]
    ends = {name: ir.Input(shape=shape) for name, shape in zip(names, shapes, strict=True)}
    # An Output of another shape than the inferred one would be refused.
    graph = ir.Graph(
        {**ends, "node": node, "output": ir.Output(shape=tuple(want.shape[1:]))},
        [*((name, "node") for name in names), ("node", "output")],
    )
    inferred = graph.nodes["node"].output_type or {}
    assert inferred["output"].tolist() == list(want.shape[1:])
    for dtype in EXACT_DTYPES if exact else CLOSE_DTYPES:
        values = [x.to(dtype) for x in xs]
        raw = [x.numpy() for x in values]
        reference, state = ir.Reference(graph, raw[0].dtype).step(
            dict(zip(names, raw, strict=True))
        )
        assert reference.dtype == raw[0].dtype
        assert state == {}
        module = bridge.node_to_module(node, dtype=dtype)
        assert module is not None
        x = module.merge(values) if isinstance(module, MergeModule) else values[0]
        with torch.no_grad():
            bridged = module(x)
        assert bridged.dtype == dtype
        for ours in (torch.from_numpy(reference), bridged):
            if exact:
                torch.testing.assert_close(ours, want.to(dtype), rtol=0, atol=0)
            else:
                torch.testing.assert_close(ours, want, rtol=1e-11, atol=1e-12)


seeds = st.integers(0, 2**32 - 1)


def pairs(low, high):
    """Two numbers, or one for both, as torch takes them too."""
    number = st.integers(low, high)
    return st.tuples(number, number) | number


def combining(node, *shapes, order=None):
    """A graph with an Input for each shape, all of which lead into ``node``."""
    names = [f"x{i}" for i in range(len(shapes))]
    inputs = {name: ir.Input(shape) for name, shape in zip(names, shapes, strict=True)}
    _, (out,) = node.shapes([shapes[i] for i in order or range(len(shapes))])
    sources = [names[i] for i in order or range(len(shapes))]
    edges = [*((name, "n") for name in sources), ("n", "out")]
    return ir.Graph({**inputs, "n": node, "out": ir.Output(out)}, edges)
