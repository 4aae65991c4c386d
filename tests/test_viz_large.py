"""What draws a graph works in proportion to its size, whatever its form."""

import cProfile

import pytest

from t1c import viz
from t1c.viz import layered

from .large_graphs import LARGE

SIZES = {"entangled": 80, "nested": 32}
"""Form -> nodes, where it is not 160."""


def calls(graph):
    """How many functions are called to draw a page: as many each time, on any machine."""
    profile = cProfile.Profile()
    assert profile.runcall(viz.render_html, graph)
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.slow
@pytest.mark.parametrize("form", LARGE)
def test_twice_the_graph_is_twice_the_work(form, monkeypatch):
    # What bends most is put in order with bounded effort, which graphs of this size exceed so.
    monkeypatch.setattr(layered, "MOST_BENDS", 4000)
    size = SIZES.get(form, 160)
    small, large = LARGE[form](size), LARGE[form](2 * size)
    viz.render_html(small)  # imports
    once, twice = calls(small), calls(large)
    assert once > 50 * size
    assert twice < 2.3 * once
