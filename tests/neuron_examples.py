"""Neurons that no primitive says, of some use, as graphs."""

import numpy as np

from t1c import ir


def graph(nodes, edges, shape):
    nodes = {"input": ir.Input(shape), **nodes, "output": ir.Output(shape)}
    return ir.Graph(nodes, edges, allow_cycles=True)


def adaptive(*shape, detuned=False):
    """A leaky neuron whose threshold rises with each spike: an ALIF, as in an LSNN."""
    rng = np.random.default_rng(0)
    decay = rng.integers(128, 250, shape) / 256 if detuned else np.array(0.75)
    nodes = {
        "v": ir.Delay(np.array(1)),
        "a": ir.Delay(np.array(1)),
        "decayed": ir.Scale(decay),
        "u": ir.Identity(),
        "raised": ir.Scale(np.array(0.25)),
        "threshold": ir.Shift(np.array(0.5)),
        "spike": ir.Binary("greater_or_equal"),
        "lost": ir.Binary("multiply"),
        "rest": ir.Binary("subtract"),
        "faded": ir.Scale(np.array(0.875)),
        "adapted": ir.Identity(),
    }
    edges = [("v", "decayed"), ("decayed", "u"), ("input", "u"), ("a", "raised"),
             ("raised", "threshold"), ("u", "spike"), ("threshold", "spike"), ("spike", "lost"),
             ("threshold", "lost"), ("u", "rest"), ("lost", "rest"), ("rest", "v"), ("a", "faded"),
             ("faded", "adapted"), ("spike", "adapted"), ("adapted", "a"),
             ("spike", "output")]  # fmt: skip
    return graph(nodes, edges, shape)


def refractory(*shape):
    """Fires, and is silent for two steps: what it sent one and two steps ago holds it down."""
    nodes = {
        "v": ir.Delay(np.array(1), np.array(0.5)),
        "u": ir.Identity(),
        "spike": ir.Threshold(np.array(1.0)),
        "sent": ir.Delay(np.array(1)),
        "earlier": ir.Delay(np.array(2)),
        "silent": ir.Binary("maximum"),
        "open": ir.Scale(np.array(-1.0)),
        "free": ir.Shift(np.array(1.0)),
        "allowed": ir.Binary("multiply"),
        "zero": ir.Scale(np.array(0.0)),
        "after": ir.Where(),
        "bound": ir.Clip(low=np.array(-0.5)),
    }
    edges = [("v", "u"), ("input", "u"), ("u", "spike"), ("allowed", "sent"),
             ("allowed", "earlier"), ("sent", "silent"), ("earlier", "silent"), ("silent", "open"),
             ("open", "free"), ("spike", "allowed"), ("free", "allowed"), ("u", "zero"),
             ("allowed", "after"), ("zero", "after"), ("u", "after"), ("after", "bound"),
             ("bound", "v"), ("allowed", "output")]  # fmt: skip
    return graph(nodes, edges, shape)


def exponential(*shape):
    """An exponential integrate-and-fire neuron: its membrane runs away before it fires."""
    nodes = {
        "v": ir.Delay(np.array(1)),
        "decayed": ir.Scale(np.array(0.9)),
        "above": ir.Shift(np.array(-1.0)),
        "steep": ir.Scale(np.array(4.0)),
        "grown": ir.Unary("exp"),
        "run": ir.Scale(np.array(0.05)),
        "u": ir.Identity(),
        "spike": ir.Threshold(np.array(2.0)),
        "zero": ir.Scale(np.array(0.0)),
        "after": ir.Where(),
    }
    edges = [("v", "decayed"), ("v", "above"), ("above", "steep"), ("steep", "grown"),
             ("grown", "run"), ("decayed", "u"), ("run", "u"), ("input", "u"), ("u", "spike"),
             ("u", "zero"), ("spike", "after"), ("zero", "after"), ("u", "after"), ("after", "v"),
             ("spike", "output")]  # fmt: skip
    return graph(nodes, edges, shape)
