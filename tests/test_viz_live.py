"""The page that runs its network, in a real browser: the numbers of the reference, bit for bit."""

import shutil
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import t1c.ir
from t1c import viz
from t1c.cli import app
from t1c.viz.live import with_outputs

from .browser import Opened, browser
from .viz_examples import nested, recurrent

# Tests look into nodes whose types they know: seen through this, all are Any.
ir: Any = t1c.ir
T = 40


@pytest.fixture(scope="module")
def tab():
    for tool in ("clang", "wasm-ld"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: no page runs its network")
    with browser() as opened:
        yield opened


@pytest.fixture
def live(tab, tmp_path):
    """Opens the live page of a graph, and looks at the end that nothing went wrong on it."""
    pages = []

    def opened(graph, **look):
        path = viz.export_html(graph, tmp_path / f"{len(pages)}.html", "Live", live=True)
        pages.append(Opened(tab, path, **look))
        pages[-1].until("Boolean(t1c.live)")
        return pages[-1]

    yield opened
    for page in pages:
        page.leave()


def on_grid(graph):
    """The graph with weights in 256ths, whose sums are exact."""
    nodes = {
        name: node.replace(weight=np.round(node.weight * 256) / 256)
        if isinstance(node, ir.Affine)
        else node
        for name, node in graph.nodes.items()
    }
    return ir.Graph(nodes, graph.edges, allow_cycles=graph.allow_cycles)


def steps(page, count):
    """What the only Output gives in each of the next steps."""
    given = "count => Array.from({length: count}, () => (t1c.live.step(1), t1c.live.outputs().out))"
    return np.array(page.page.evaluate(given, count), np.float32)


def noise(seed, count):
    """The page's numbers in [0, 1): mulberry32, in Python's integers."""
    mask, found = 2**32 - 1, []
    for _ in range(count):
        seed = (seed + 0x6D2B79F5) & mask
        t = ((seed ^ seed >> 15) * (1 | seed)) & mask
        t = ((t + (((t ^ t >> 7) * (61 | t)) & mask)) & mask) ^ t
        found.append((t ^ t >> 14) / 2**32)
    return np.array(found)


@pytest.mark.parametrize("make", [recurrent, nested])
def test_sliders_are_the_input_and_outputs_those_of_the_reference(make, live):
    graph = on_grid(make())
    page = live(graph)
    sliders = page.page.locator("#live .slider input")
    (shape,) = (node.shape for node in graph.inputs().values())
    values = np.linspace(0.5, 1.5, shape[0]).round(2)
    values = np.round(values * 64) / 64
    for i, value in enumerate(values):
        sliders.nth(i).fill(str(value))
    assert page.page.evaluate("t1c.live.inputs().in") == values.tolist()
    xs = np.broadcast_to(values.astype(np.float32), (T, 1, *shape))
    expected = ir.Reference(graph, np.float32).run(xs, collect="stack")[0][:, 0]
    assert 10 < np.count_nonzero(expected) < expected.size
    np.testing.assert_array_equal(steps(page, T), expected)
    assert f"step {T}" in page.page.locator("#play").inner_text()
    assert f"{np.count_nonzero(expected)} not zero in {T} steps" in _panel(page)

    # Back at rest the same comes again.
    page.page.get_by_text("Reset").click()
    assert page.page.evaluate("t1c.live.steps()") == 0
    np.testing.assert_array_equal(steps(page, T), expected)


def test_noise_is_the_same_each_time(live):
    graph = on_grid(recurrent())
    page = live(graph)
    page.page.get_by_label("Noise in in").fill("0.25")
    xs = (noise(1, T * 6) < 0.25).reshape(T, 1, 6).astype(np.float32)
    assert 30 < xs.sum() < 100
    expected = ir.Reference(graph, np.float32).run(xs, collect="stack")[0][:, 0]
    assert 5 < np.count_nonzero(expected) < expected.size
    np.testing.assert_array_equal(steps(page, T), expected)
    page.page.get_by_text("Reset").click()
    np.testing.assert_array_equal(steps(page, T), expected)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_picture_is_painted_and_nodes_light_up_as_it_plays(scheme, live):
    nodes = {"in": ir.Input((2, 4, 5)), "lif": lif(), "out": ir.Output((2, 4, 5))}
    page = live(ir.Graph(nodes, [("in", "lif"), ("lif", "out")]), color_scheme=scheme)
    dim = page.pixels()
    box = page.page.locator(".painted").bounding_box()
    mouse = page.page.mouse
    mouse.move(box["x"] + 12, box["y"] + 12)
    mouse.down()
    mouse.move(box["x"] + 24 * 4 + 12, box["y"] + 12, steps=12)
    mouse.up()
    mouse.click(box["x"] + 12, box["y"] + 4 * 24 + 6 + 12)  # the second channel's first
    painted = np.array(page.page.evaluate("t1c.live.inputs().in")).reshape(2, 4, 5)
    expected = np.zeros((2, 4, 5))
    expected[0, 0] = expected[1, 0, 0] = 1
    np.testing.assert_array_equal(painted, expected)

    page.page.get_by_label("Steps in a second").fill("2")
    page.page.locator("#run").click()
    page.until("t1c.live.steps() > 10")
    page.page.locator("#run").click()
    assert page.pixels() != dim
    page.click("lif")
    assert "most\t0.15" in page.panel()  # 6 of 40 fire at once
    page.page.get_by_text("Clear").click()
    assert not any(page.page.evaluate("t1c.live.inputs().in"))


def lif():
    return ir.IF(np.full((2, 4, 5), 1.5))


def test_each_node_shows_what_it_sends(live):
    graph = nested()
    page = live(graph)
    page.page.evaluate("t1c.live.step(3)")
    names = {node["id"] for node in viz.graph_to_dict(graph)["nodes"]}
    assert set(page.page.evaluate("t1c.live.nodes()")) == names
    shown, watched = with_outputs(graph)
    assert set(watched) == names
    assert len(shown.outputs()) == len(names)


def _panel(page):
    page.until("new Promise(done => requestAnimationFrame(() => done(true)))")
    return page.page.locator("#live").inner_text()


def test_edges_that_run_back_stay_the_same():
    graph = recurrent()
    shown, _ = with_outputs(graph)
    assert len(graph.feedback_edges()) == 3
    assert set(shown.feedback_edges()) == set(graph.feedback_edges())


@pytest.mark.slow
def test_only_a_live_page_may_compile(tab):
    plain = viz.render_html(recurrent())
    assert "wasm-unsafe-eval" not in plain
    assert "WebAssembly" not in plain
    made = viz.render_html(recurrent(), live=True)
    assert made.count("wasm-unsafe-eval") == 1
    assert "unsafe-eval" not in made.replace("wasm-unsafe-eval", "")


@pytest.mark.slow
def test_what_cannot_run_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ir.InputError, match="activity"):
        viz.render_html(recurrent(), activity={"lif1": np.ones((3, 8))}, live=True)
    with pytest.raises(ir.InputError, match="dictionary"):
        viz.render_html(viz.graph_to_dict(recurrent()), live=True)
    monkeypatch.chdir(tmp_path)
    ir.write("net.t1c", recurrent())
    refused = CliRunner().invoke(app, ["export-html", "net.t1c", "net.svg", "--live"])
    assert refused.exit_code == 2
    assert "--live" in refused.output
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    refused = CliRunner().invoke(app, ["export-html", "net.t1c", "--live"])
    assert refused.exit_code != 0
    assert "apt install clang lld" in refused.output
