"""Graphs for the tests of pictures."""

import itertools

import numpy as np

from t1c import ir


def affine(out, into, seed=0):
    weight = np.random.default_rng(seed).normal(size=(out, into)).astype(np.float32)
    return ir.Affine(weight, np.zeros(out, np.float32))


def lif(n, tau=2.0):
    return ir.LIF(np.full(n, tau), np.ones(n), np.zeros(n), np.ones(n))


def recurrent():
    """Two loops, one of them over two neurons, and a neuron that drives itself."""
    nodes = {
        "in": ir.Input((6,)),
        "fc1": affine(8, 6),
        "lif1": lif(8),
        "rec": affine(8, 8),
        "fc2": affine(4, 8),
        "lif2": lif(4),
        "back": affine(8, 4),
        "self": ir.IF(np.ones(4)),
        "out": ir.Output((4,)),
    }
    ways = ["in fc1 lif1 fc2 lif2 self out", "lif1 rec lif1", "lif2 back lif1", "self self"]
    edges = [(a, b) for way in ways for a, b in itertools.pairwise(way.split())]
    return ir.Graph(nodes, edges, allow_cycles=True)


def neuron():
    """A leaky neuron without reset, made of a Delay."""
    nodes = {
        "x": ir.Input((4,)),
        "sum": ir.Skip("residual"),
        "past": ir.Delay(np.ones(4)),
        "decay": ir.Scale(np.full(4, 0.9)),
        "fire": ir.Threshold(np.ones(4)),
        "spikes": ir.Output((4,)),
    }
    edges = [
        ("x", "sum"),
        ("decay", "sum"),
        ("sum", "past"),
        ("past", "decay"),
        ("sum", "fire"),
        ("fire", "spikes"),
    ]
    return ir.Graph(nodes, edges, allow_cycles=True)


def nested():
    """A neuron that is a graph, in the feedback loop of a larger one."""
    nodes = {
        "in": ir.Input((4,)),
        "fc": affine(4, 4),
        "cell": neuron(),
        "out": ir.Output((4,)),
    }
    return ir.Graph(nodes, [("in", "fc"), ("fc", "cell"), ("cell", "out")])


def residual(blocks, width=8):
    """Blocks of an affine layer and a neuron, around which the input passes."""
    nodes, edges, before = {"in": ir.Input((width,))}, [], "in"
    for i in range(blocks):
        fc, spike, add = (f"blocks.{i}.{part}" for part in ("fc", "lif", "add"))
        nodes |= {fc: affine(width, width, i), spike: lif(width), add: ir.Skip("residual")}
        edges += [(before, fc), (fc, spike), (spike, add), (before, add)]
        before = add
    nodes["out"] = ir.Output((width,))
    return ir.Graph(nodes, [*edges, (before, "out")])


def hostile():
    """Names and notes that would do harm if anybody took them for markup."""
    bad = "<script>document.title='taken'<>"
    nodes = {
        "in": ir.Input((2,)),
        bad: lif(2),
        "</script><img src=x onerror=alert(1)>".replace("/", "∕"): affine(2, 2),
        "{{script}}": ir.Identity(metadata={"note": "</script><script>window.taken=1</script>"}),
        "out": ir.Output((2,)),
    }
    names = list(nodes)
    notes = {"<b>key": "<!-- <script> \u2028 &amp; \x1b[31m"}
    return ir.Graph(nodes, list(itertools.pairwise(names)), metadata=notes)
