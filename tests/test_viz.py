"""What pictures are made of, against values by hand, NumPy and the graphs themselves."""

import base64
import json
import subprocess
import sys
import types
import webbrowser
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from t1c import ir, viz
from t1c.viz import export
from t1c.viz.activity import levels
from t1c.viz.palette import FAMILIES, family_of
from t1c.viz.render import as_json
from t1c.viz.summaries import summarize_array

from .viz_examples import affine, hostile, lif, nested, neuron, recurrent, residual

DATA = Path(__file__).parent / "data"
SVG = "{http://www.w3.org/2000/svg}"


def by_id(things):
    return {thing["id"]: thing for thing in things}


# The dictionary ----------------------------------------------------------------------------


def test_a_dictionary_holds_what_the_graph_holds():
    graph = recurrent()
    found = viz.graph_to_dict(graph, "mine")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["title"] == "mine"
    nodes = by_id(found["nodes"])
    assert list(nodes) == list(graph.nodes)
    fc = nodes["fc1"]
    assert (fc["type"], fc["family"], fc["parameter_count"], fc["bytes"]) == (
        "Affine", "linear", 56, 224,
    )  # fmt: skip
    assert (fc["input_type"], fc["output_type"]) == ({"input": [6]}, {"output": [8]})
    assert nodes["lif1"]["state"] == 16  # a membrane, and the spikes that run back
    edges = {(e["source"], e["target"]): e["feedback"] for e in found["edges"]}
    assert list(edges) == graph.edges
    back = {edge for edge, late in edges.items() if late}
    assert back == {("lif1", "rec"), ("lif2", "back"), ("self", "self")}


def test_a_nested_graph_is_a_group_and_edges_end_at_its_borders():
    found = viz.graph_to_dict(nested())
    assert [g["id"] for g in found["groups"] if g["kind"] == "graph"] == ["cell"]
    nodes = by_id(found["nodes"])
    assert nodes["cell/x"]["group"] == "cell"
    assert nodes["cell/x"]["type"] == "Input"
    pairs = {(edge["source"], edge["target"]) for edge in found["edges"]}
    assert {("fc", "cell/x"), ("cell/spikes", "out"), ("cell/decay", "cell/sum")} <= pairs
    assert len(nodes) == 9


def test_feedback_within_nested_graphs_and_around_them_is_marked():
    nodes = {
        "in": ir.Input((4,)),
        "cell": ir.Graph(
            {"x": ir.Input((4,)), "a": lif(4), "b": affine(4, 4), "y": ir.Output((4,))},
            [("x", "a"), ("a", "b"), ("b", "a"), ("a", "y")],
            allow_cycles=True,
        ),
        "out": ir.Output((4,)),
    }
    inner = ir.Graph(nodes, [("in", "cell"), ("cell", "out")])
    nodes = {**nodes, "cell": ir.Graph({"x": ir.Input((4,)), "a": lif(4), "y": ir.Output((4,))},
                                       [("x", "a"), ("a", "y")])}  # fmt: skip
    outer = ir.Graph(
        {**nodes, "w": affine(4, 4)},
        [("in", "cell"), ("cell", "w"), ("w", "cell"), ("cell", "out")],
        allow_cycles=True,
    )
    for graph in (inner, outer):
        edges = viz.graph_to_dict(graph)["edges"]
        back = [(e["source"], e["target"]) for e in edges if e["feedback"]]
        assert back == graph.feedback_edges()
        assert len(back) == 1


@pytest.mark.parametrize("path", sorted([*DATA.glob("t1cir/*.t1c"), *DATA.glob("talonir/*.t1c")]))
def test_every_fixture_has_a_picture(path):
    try:
        graph = ir.read(path)
    except ir.T1CError:  # and then the picture is refused as well
        with pytest.raises(ir.T1CError):
            viz.graph_to_dict(path)
        return
    found = viz.graph_to_dict(path)
    assert found["title"] == path.name
    names = set(graph.flat().nodes)
    assert {node["id"] for node in found["nodes"]} == names
    assert viz.render_html(found).startswith("<!DOCTYPE html>")
    drawn = ElementTree.fromstring(viz.to_svg(found, unfold=True))
    assert len(drawn.findall(f"{SVG}rect")) >= len(names)


def test_summaries_are_numpys():
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, (40, 50)).astype(np.float32)
    values[0] = 0
    found = summarize_array(values)
    wide = values.astype(np.float64)
    assert found["zeros"] == 50
    for key, number in (("min", wide.min()), ("max", wide.max()), ("mean", wide.mean()),
                        ("std", wide.std())):  # fmt: skip
        assert found[key] == pytest.approx(number, rel=1e-12)
    assert found["histogram"]["counts"] == np.histogram(wide, 24)[0].tolist()
    assert found["histogram"]["of"] == found["count"] == 2000


def test_summaries_of_what_is_not_finite_large_or_small():
    found = summarize_array(np.array([np.nan, np.inf, 1.0, 2.0]))
    assert (found["nonfinite"], found["min"], found["max"]) == (2, 1.0, 2.0)
    assert found["values"] == ["nan", "inf", 1.0, 2.0]
    assert "min" not in summarize_array(np.array([np.nan]))
    huge = summarize_array(np.array([-1e308, 1e308] * 10))
    assert huge["mean"] == pytest.approx(0, abs=1e293)
    assert sum(huge["histogram"]["counts"]) == 20
    many = summarize_array(np.zeros(1_000_000) + np.arange(1_000_000))
    assert 200_000 < many["histogram"]["of"] == sum(many["histogram"]["counts"]) <= 2**18
    assert "histogram" not in summarize_array(np.ones(100))
    json.dumps([found, huge, many], allow_nan=False)


def test_every_primitive_has_a_family():
    families = {}
    for name in ir.list_primitives():
        cls = ir.str_to_node(name)
        if cls.__module__.startswith("t1c.ir."):
            families[name] = family_of(cls.__new__(cls))
    assert set(families.values()) <= set(FAMILIES) - {"other"}
    assert families["CubaLIF"] == families["Threshold"] == "neuron"


# Pages -------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] == "script":
            self.scripts.append(data)


def test_a_page_is_one_file_whose_data_are_only_data():
    text = viz.render_html(hostile(), "<script>")
    page = Page(text)
    assert page.links == []
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert "".join(page.scripts).count("<script>") == 0
    (policy,) = (a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    data = json.loads(page.scripts[0])
    assert [node["id"] for node in data["nodes"]] == list(hostile().nodes)
    assert data["metadata"]["<b>key"].startswith("<!-- <script>")


def test_json_for_pages_holds_no_markup():
    text = as_json({"</script>": "<!--&\u2028\u2029é"})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"</script>": "<!--&\u2028\u2029é"}


def test_export_writes_a_page(tmp_path):
    path = viz.export_html(nested(), tmp_path / "page.html", "Größe")
    text = path.read_text("utf-8")
    assert "<title>Größe</title>" in text
    assert viz.render_html(viz.graph_to_dict(nested()), "Größe") == text


def test_visualize_opens_the_browser_on_a_file_it_keeps(monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    path = viz.visualize(recurrent(), "shown")
    assert opened == [path.as_uri()]
    assert "<title>shown</title>" in path.read_text("utf-8")
    path.unlink()


def test_visualize_shows_a_frame_in_a_notebook(monkeypatch):
    shown = []
    fake = types.ModuleType("IPython")
    fake.get_ipython = lambda: types.SimpleNamespace()
    fake.display = types.ModuleType("IPython.display")
    fake.display.HTML = lambda text: text
    fake.display.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", fake.display)
    assert viz.visualize(hostile(), height=333) is None
    ((tag, attributes),) = Page(shown[0]).elements
    assert (tag, attributes["sandbox"]) == ("iframe", "allow-scripts allow-downloads")
    assert attributes["srcdoc"] == viz.render_html(hostile())
    assert "333px" in attributes["style"]
    fake.get_ipython = lambda: None
    assert not export.in_notebook()


def test_importing_needs_no_torch():
    code = "import sys, t1c.viz; print([m for m in ('torch', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# SVG and DOT -------------------------------------------------------------------------------


def test_svg_shows_all_names_and_marks_feedback():
    drawn = ElementTree.fromstring(viz.to_svg(recurrent()))
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert set(recurrent().nodes) <= set(texts)
    assert texts.count("t-1") == 3
    dashed = [p for p in drawn.iter(f"{SVG}path") if p.get("stroke-dasharray") == "6 4"]
    assert len(dashed) == 3


def test_svg_unfolds_as_asked():
    def count(unfold):
        drawn = ElementTree.fromstring(viz.to_svg(residual(50), unfold=unfold))
        texts = [text.text for text in drawn.iter(f"{SVG}text")]
        return sum(text in ("fc", "lif", "add") for text in texts)

    assert (count(False), count(True)) == (0, 150)


def test_svg_of_hostile_names_is_text():
    drawn = ElementTree.fromstring(viz.to_svg(hostile()))
    assert {element.tag for element in drawn.iter()} == {
        f"{SVG}{tag}" for tag in ("svg", "title", "rect", "path", "text")
    }


def test_dot_has_all_nodes_edges_and_clusters():
    text = viz.to_dot(nested())
    assert text.count(" -> ") == 9
    assert '"fc" -> "cell/x";' in text
    assert 'subgraph "cluster cell" {' in text
    assert text.count("{") == text.count("}")
    assert text.count("style=dashed") == 0
    assert viz.to_dot(recurrent()).count("style=dashed") == 3
    graph = ir.Graph({'a"\\': ir.Input((1,)), "b": ir.Output((1,))}, [('a"\\', "b")])
    assert r'"a\"\\" -> "b";' in viz.to_dot(graph)


# Two graphs --------------------------------------------------------------------------------


def test_a_difference_says_what_was_added_removed_and_changed():
    first = residual(3)
    nodes = dict(first.nodes)
    nodes["blocks.0.lif"] = lif(8, tau=4.0)
    nodes["more"] = ir.Identity()
    del nodes["blocks.1.lif"]
    edges = [edge for edge in first.edges if "blocks.1.lif" not in edge and edge[1] != "out"]
    edges += [("blocks.1.fc", "blocks.1.add"), ("blocks.2.add", "more"), ("more", "out")]
    second = ir.Graph(nodes, edges, metadata={"note": {"epoch": 2}})
    found = viz.diff_to_dict(first, second)
    status = {n["id"]: n["status"] for n in found["nodes"] if "status" in n}
    assert status == {"blocks.0.lif": "changed", "more": "added", "blocks.1.lif": "removed"}
    assert by_id(found["nodes"])["blocks.0.lif"]["changes"] == [
        "tau: 2.0 and 4.0 in all of 8 places"
    ]
    lines = {(e["source"], e["target"]): e["status"] for e in found["edges"] if "status" in e}
    assert lines == {
        ("blocks.1.fc", "blocks.1.add"): "added",
        ("blocks.2.add", "more"): "added",
        ("more", "out"): "added",
        ("blocks.1.fc", "blocks.1.lif"): "removed",
        ("blocks.1.lif", "blocks.1.add"): "removed",
        ("blocks.2.add", "out"): "removed",
    }
    assert "metadata note.epoch: none and 2" in found["differs"]
    assert "first → second" in viz.diff_html(first, second)


def test_equal_graphs_do_not_differ(tmp_path):
    ir.write(tmp_path / "a.t1c", nested())
    found = viz.diff_to_dict(tmp_path / "a.t1c", nested())
    assert found["title"] == "a.t1c → second"
    assert found["differs"] == []
    assert not any("status" in thing for thing in [*found["nodes"], *found["edges"]])


def test_a_difference_within_nested_graphs():
    cell = neuron()
    inner = {n: node for n, node in cell.nodes.items() if n != "fire"}
    edges = [edge for edge in cell.edges if "fire" not in edge]
    other = ir.Graph(inner, [*edges, ("sum", "spikes")], allow_cycles=True)
    whole = nested()
    second = ir.Graph({**whole.nodes, "cell": other}, whole.edges)
    found = viz.diff_to_dict(whole, second)
    fire = by_id(found["nodes"])["cell/fire"]
    assert (fire["status"], fire["group"]) == ("removed", "cell")


# Playback ----------------------------------------------------------------------------------


def test_levels_are_means_of_each_step():
    found = levels({"b": [[1, 0], [1, 1], [0, 0]], "a": np.zeros((3, 2, 2))}, ["a", "b"])
    assert found["steps"] == 3
    assert found["nodes"]["1"]["peak"] == 1.0
    assert list(base64.b64decode(found["nodes"]["1"]["levels"])) == [128, 255, 0]
    assert list(base64.b64decode(found["nodes"]["0"]["levels"])) == [0, 0, 0]


@pytest.mark.parametrize(
    ("activity", "words"),
    [
        ({"nobody": np.zeros((2, 1))}, "no node 'nobody'"),
        ({"fc": np.zeros((2, 4)), "in": np.zeros((3, 4))}, "different numbers of steps"),
        ({"fc": np.zeros((0, 4))}, "shape"),
        ({}, "no node at all"),
    ],
)
def test_activity_that_does_not_fit_is_refused(activity, words):
    with pytest.raises(ir.InputError, match=words):
        viz.render_html(nested(), activity=activity)


# Folders -----------------------------------------------------------------------------------


def test_a_folder_is_listed(tmp_path):
    ir.write(tmp_path / "b.t1c", nested())
    (tmp_path / "a.t1c").write_bytes(b"no graph")
    (tmp_path / "notes.txt").write_text("none of ours")
    (tmp_path / "deep").mkdir()
    ir.write(tmp_path / "deep" / "c.t1c", recurrent())
    found = viz.list_graphs(tmp_path)
    assert [one.file for one in found.graphs] == ["a.t1c", "b.t1c"]
    broken, good = found.graphs
    assert "not a" in broken.problem
    assert (good.nodes, good.input_shapes, good.output_shapes) == (9, ((4,),), ((4,),))
    assert good.parameters == 4 * 4 + 4 + 3 * 4 + 1
    assert "b.t1c" in str(found)
    assert found.to_dict()["graphs"][1]["nodes"] == 9
    every = viz.list_graphs(tmp_path, recursive=True).graphs
    assert [Path(one.file).name for one in every] == ["a.t1c", "b.t1c", "c.t1c"]
    (tmp_path / "empty").mkdir()
    assert "no .t1c" in str(viz.list_graphs(tmp_path / "empty"))
    with pytest.raises(NotADirectoryError, match="no folder"):
        viz.list_graphs(tmp_path / "nowhere")


def test_public_names_are_there():
    assert all(callable(getattr(viz, name)) for name in viz.__all__)
    assert viz.__all__ == sorted(viz.__all__)
