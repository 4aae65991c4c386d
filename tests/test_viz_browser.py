"""The page, in a real browser."""

import numpy as np
import pytest

from t1c import ir, viz
from t1c.viz.layout import lay_out, opened
from t1c.viz.place import place

from .browser import Opened, browser
from .viz_examples import hostile, nested, recurrent, residual


@pytest.fixture(scope="module")
def tab():
    with browser() as opened:
        yield opened


@pytest.fixture
def show(tab, tmp_path):
    """Opens a page, and looks at the end that nothing went wrong on it."""
    pages = []

    def opened(text, **look):
        path = tmp_path / f"{len(pages)}.html"
        path.write_text(text, encoding="utf-8")
        pages.append(Opened(tab, path, **look))
        return pages[-1]

    yield opened
    for page in pages:
        page.leave()


def test_every_node_is_there_is_found_and_described(show):
    graph = recurrent()
    page = show(viz.render_html(graph, "A recurrent network"))
    assert set(graph.nodes) <= set(page.boxes())
    assert page.page.title() == "A recurrent network"
    assert "one step late" in page.panel()

    page.click("lif1")
    assert page.selected() == "lif1"
    text = page.panel()
    for words in ("tau", "(8) float64", "state per sample"):
        assert words in text

    page.page.keyboard.press("/")
    page.page.keyboard.type("affine rec")
    assert page.page.locator("#found li").all_inner_texts()[0].split() == ["rec", "Affine"]
    page.page.keyboard.press("Enter")
    assert page.selected() == "rec"
    assert page.page.locator("#panel .array svg rect").count() >= 20  # a histogram


def test_keys_go_along_the_edges_and_move_the_view(show):
    page = show(viz.render_html(recurrent()))
    keys = page.page.keyboard
    page.click("in")
    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
        keys.press(key)
        seen.append(page.selected())
    assert seen == ["fc1", "lif1", "fc2", "lif1"]
    keys.press("Escape")
    assert page.selected() is None

    def view():
        return page.page.evaluate("t1c.view()")

    first = view()
    keys.press("+")
    closer = view()
    assert closer["scale"] == pytest.approx(1.25 * first["scale"])
    keys.press("ArrowLeft")
    assert view()["x"] == pytest.approx(closer["x"] + 60)
    page.page.mouse.move(300, 300)
    page.page.mouse.wheel(0, 200)
    page.until(f"t1c.view().scale < {closer['scale']}")
    keys.press("f")
    assert view() == pytest.approx(first)
    keys.press("p")
    assert page.page.locator("#panel").is_hidden()


def test_groups_fold_and_unfold(show):
    graph = residual(90)
    page = show(viz.render_html(graph))
    names = set(graph.nodes)
    assert len(page.boxes()) == 3  # all the blocks are one
    page.page.keyboard.press("e")
    assert names < set(page.boxes())
    page.page.keyboard.press("c")
    (repeat,) = set(page.boxes()) - {"in", "out"}
    assert page.boxes()[repeat]["open"] is False
    page.click(repeat)
    assert "90 equal parts" in page.panel()
    page.page.keyboard.press("Enter")
    assert page.boxes()[repeat]["open"] is True

    # What is found is unfolded.
    page.page.keyboard.press("/")
    page.page.keyboard.type("blocks.17.lif")
    page.page.keyboard.press("Enter")
    assert page.selected() == "blocks.17.lif"
    assert {"blocks.17.lif", "blocks.18.lif"} & set(page.boxes()) == {"blocks.17.lif"}


@pytest.mark.parametrize("make", [recurrent, nested, lambda: residual(30)])
def test_page_and_svg_agree_where_everything_stands(make, show):
    graph = viz.graph_to_dict(make())
    page = show(viz.render_html(graph))
    for key, groups in (("c", frozenset()), ("e", opened(graph, float("inf")))):
        page.page.keyboard.press(key)
        scene = place(lay_out(graph), groups)
        boxes = page.boxes()
        assert set(boxes) == {box.id for box in scene.boxes}
        for box in scene.boxes:
            theirs = [boxes[box.id][side] for side in ("x", "y", "width", "height")]
            assert theirs == pytest.approx([box.x, box.y, box.width, box.height], abs=0.01)
        lines = [_numbers(path) for path in page.page.evaluate("t1c.lines()")]
        for mine, theirs in zip(scene.lines, lines, strict=True):
            assert theirs == pytest.approx(_numbers(mine.path), abs=0.11)


def _numbers(path):
    for letter in "MLCQ":
        path = path.replace(letter, " ")
    return [float(number) for number in path.split()]


def test_names_and_notes_are_text(show):
    graph = hostile()
    page = show(viz.render_html(graph, "</title><script>window.taken=1</script>"))
    assert set(graph.nodes) == set(page.boxes())
    assert page.page.title() == "</title><script>window.taken=1</script>"
    assert "<script>" in page.panel()
    for name in graph.nodes:
        page.page.evaluate("name => t1c.select(name)", name)
        assert name in page.panel()
    assert page.page.evaluate("[window.taken, document.images.length]") == [None, 0]
    # Should a script get in all the same, the page's policy forbids it to act.
    made = "const s = document.createElement('script'); s.textContent = 'window.taken = 1';"
    page.page.evaluate(f"() => {{ {made} document.body.append(s); }}")
    assert page.page.evaluate("window.taken") is None
    assert any("Content Security Policy" in line for line in page.wrong)
    page.wrong.clear()


def test_a_run_is_played(show):
    graph = residual(2)
    steps = np.arange(12)
    activity = {name: np.tile((steps + i) % 12, (8, 1)).T for i, name in enumerate(graph.nodes)}
    page = show(viz.render_html(graph, activity=activity))
    page.page.keyboard.press("e")
    page.click("blocks.0.lif")
    assert "step 1 of 12" in page.page.locator("#play").inner_text()
    legend = page.page.locator("#heat")
    assert legend.is_visible()
    assert legend.inner_text().split() == ["none", "its", "most"]
    ramp = "getComputedStyle(document.querySelector('#heat i')).backgroundImage"
    assert "rgb(255, 90, 0)" in page.page.evaluate(ramp)  # as hot as a node gets
    before = page.pixels()
    page.page.keyboard.press(".")
    assert "step 2 of 12" in page.page.locator("#play").inner_text()
    assert "now\t3" in page.panel()  # the second of the nodes counts from 2 on
    assert page.pixels() != before
    page.page.locator("#step").fill("7")
    assert "step 8 of 12" in page.page.locator("#play").inner_text()
    page.page.locator("#run").click()
    page.until("document.getElementById('step').value > 8")


def test_dark_as_the_system_says_and_by_a_key(show):
    page = show(viz.render_html(residual(2)), color_scheme="dark")
    style = "getComputedStyle(document.body).backgroundColor"
    dark = page.page.evaluate(style)
    pixels = page.pixels()
    page.page.keyboard.press("d")
    light = page.page.evaluate(style)
    red = [int(colour[4:].split(",")[0]) for colour in (dark, light)]
    assert red[0] < 60 < 200 < red[1]
    assert page.pixels() != pixels


def test_paper_shows_all_that_is_open(show):
    page = show(viz.render_html(recurrent()), color_scheme="dark")
    page.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    texts = page.page.locator("#print svg text").all_text_contents()
    assert set(recurrent().nodes) <= set(texts)
    assert texts.count("t-1") == 3


@pytest.mark.slow
def test_two_graphs_in_one_picture(show):
    first = residual(3)
    nodes = dict(first.nodes)
    nodes["blocks.1.lif"] = nodes["blocks.1.lif"].replace(tau=np.full(8, 5.0))
    del nodes["blocks.2.lif"]
    edges = [edge for edge in first.edges if "blocks.2.lif" not in edge]
    second = ir.Graph(nodes, [*edges, ("blocks.2.fc", "blocks.2.add")])
    page = show(viz.diff_html(first, second))
    for line in ("changed blocks.1.lif", "removed blocks.2.lif", "blocks.2.add: added"):
        assert line in page.panel()
    page.page.evaluate("t1c.select('blocks.1.lif')")
    assert "tau: 2.0 and 5.0 in all of 8 places" in page.panel()


@pytest.mark.slow
def test_two_thousand_nodes_open_at_once(show):
    page = show(viz.render_html(residual(666)))
    shown = "performance.getEntriesByName('t1c-shown')[0].startTime"
    assert page.page.evaluate(shown) < 3000
    page.page.keyboard.press("e")
    assert len(page.boxes()) > 2000
    page.page.keyboard.press("/")
    page.page.keyboard.type("blocks.500.lif")
    page.page.keyboard.press("Enter")
    assert page.selected() == "blocks.500.lif"
