"""Edges that nodes are taken out of, beside what that means, said in the plainest way."""

import random

import pytest

from t1c.nir.adapting.wires import Wires


def without(edges, name):
    """What led to a node leads to where it led, in the place of the edge that it had."""
    out = [b for a, b in edges if a == name]
    left = []
    for a, b in edges:
        if b == name:
            left += [(a, target) for target in out]
        elif a != name:
            left.append((a, b))
    return left


@pytest.mark.parametrize("seed", range(20))
def test_taking_nodes_out_leaves_the_order_of_the_others(seed):
    draw = random.Random(seed)
    names = [f"n{i}" for i in range(12)]
    # A node that is taken out has no edge to itself.
    pairs = [(a, b) for a in names for b in names if a != b]
    edges = draw.sample(pairs, 20)
    wires, dropped = Wires(edges), 0
    for name in draw.sample(names, 6):
        inner = without(edges, name)
        if any(a == b for a, b in inner):
            continue
        edges, dropped = inner, dropped + 1
        wires.drop(name)
        assert wires.edges() == edges
        for node in names:
            assert wires.sources(node) == [a for a, b in edges if b == node]
            assert wires.targets(node) == [b for a, b in edges if a == node]
    assert dropped
