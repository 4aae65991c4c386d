"""Every verb that looks at a network works on every file that opens, and on a spiking transformer.

What each tells is compared elsewhere; here, that it tells something of every node, as text and as
JSON, and that files said to be equal are.
"""

import functools
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from t1c import deploy, ir, nir, sdk, viz
from t1c.cli import app

from .peers import peer
from .test_fixture_files import ONLY_OPENS, RUNS, T1CIR

ROOT = Path(__file__).parent.parent
NIR = sorted((ROOT / "tests" / "data" / "nir").glob("*.nir"))
FILES = [*RUNS, *(p for p in T1CIR if p.stem in ONLY_OPENS), *NIR, ROOT / "examples" / "digits.t1c"]

# Their time constants need another step than the others'.
DT = {"if_dt1": 1.0, "lif_tau_is_dt": 1e-3}

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::t1c.ir.GraphWarning"),
]


def told(*arguments):
    """What a verb tells as JSON; that it tells it as text too."""
    given = [*map(str, arguments)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, (given, result.output)
    assert result.stdout.strip()
    result = CliRunner().invoke(app, [*given, "--json"])
    assert result.exit_code == 0, (given, result.output)
    return json.loads(result.stdout)


def glance(path, dt=()):
    """Run the verbs that cost little on a file."""
    graph = nir.read_graph(path, float(dt[1]) if dt else None)
    names = list(graph.nodes)
    assert [node["name"] for node in told("info", path, *dt)["nodes"]] == names
    assert [node["name"] for node in told("analyze", path, *dt)["nodes"]] == names
    assert told("validate", path, *dt)["valid"]
    assert told("hash", path, *dt)["fingerprint"] == sdk.fingerprint_graph(graph)
    assert CliRunner().invoke(app, ["lint", str(path), *dt]).exit_code in (0, 1)
    return graph


def in_integers(path, graph, folder, dt=()):
    """Quantise a file, or be told which node has no integers; whether there are some."""
    given = ["quantize", str(path), "-o", str(folder / "small.t1c"), "--spikes", *dt]
    result = CliRunner().invoke(app, given)
    if result.exit_code:
        assert result.exit_code == 1, result.output
        assert any(name.rpartition("/")[2] in result.stderr for name in graph.flat().nodes)
        return False
    small = ir.read(folder / "small.t1c")
    rng = np.random.default_rng(0)
    xs = {
        name: (rng.random((5, 2, *node.shape)) < 0.5).astype(np.float32)
        for name, node in small.inputs().items()
    }
    single, double = (
        ir.Reference(small, dtype).run(xs, collect="stack")[0] for dtype in (np.float32, np.float64)
    )
    for a, b in zip(*(_values(y) for y in (single, double)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    return True


def _values(found):
    return list(found.values()) if isinstance(found, dict) else [found]


def deployed(graph, folder):
    """Write a graph for machines without t1c."""
    assert deploy.to_c(graph, folder / "c").files
    assert deploy.to_onnx(graph, folder / "model.onnx").operators


def look_at_everything(path, folder, dt=(), primitives=None):
    """Run every verb that needs no samples on a file, and look at a node of each primitive."""
    graph = glance(path, dt)
    deployed(graph, folder)
    names = list(graph.nodes)
    assert [node["name"] for node in told("profile", path, *dt)["nodes"]] == names
    for primitive, name in {node.primitive: name for name, node in graph.nodes.items()}.items():
        if primitives is None or primitive in primitives:
            assert told("node", path, name, *dt)["name"] == name
    assert told("diff", path, path, *dt)["equal"]
    assert told("stats", path, *dt) is not None
    assert told("export-html", path, folder / "page.html", *dt)["page"]
    page = (folder / "page.html").read_text(encoding="utf-8")
    for name in names:
        assert json.dumps(name)[1:-1] in page or name in page
    assert viz.to_svg(graph).startswith("<svg")
    assert viz.to_dot(graph).startswith("digraph")
    ir.write(folder / "copy.t1c", graph)
    assert not told("convert", folder / "copy.t1c", folder / "again.t1c").get("losses")
    sdk.assert_graphs_equal(ir.read(folder / "again.t1c"), graph)
    return graph


def steps(path):
    return ("--dt", str(DT.get(path.stem, 1e-4))) if path.suffix == ".nir" else ()


def said(path):
    """What there is to show of a file: each primitive, cycles, ports, nesting, by its producer."""
    dt = steps(path)
    graph = nir.read_graph(path, float(dt[1]) if dt else None)
    kinds = {node.primitive for node in graph.nodes.values()}
    kinds |= {"a cycle"} if graph.topology().loops() else set()
    kinds |= {"inputs"} if len(graph.inputs()) > 1 else set()
    kinds |= {"outputs"} if len(graph.outputs()) > 1 else set()
    kinds |= (
        {"a graph inside"} if any(isinstance(n, ir.Graph) for n in graph.nodes.values()) else set()
    )
    kinds |= {
        f"reset {node.reset_mode}" for node in graph.nodes.values() if hasattr(node, "reset_mode")
    }
    kinds |= {"odd"} if path.stem.startswith("odd") else set()
    return {(path.suffix, kind) for kind in kinds} | {(path.suffix, path.parent.name)}


@functools.cache
def representatives():
    """So few files that all that is said by one is said by these, the fullest first.

    With each: what it is the first to say.
    """
    told_by = {path: said(path) for path in FILES}
    missing, chosen = set().union(*told_by.values()), {}
    while missing:
        path = max(FILES, key=lambda path: len(told_by[path] & missing))
        chosen[path] = {kind for _, kind in told_by[path] & missing}
        missing -= told_by[path]
    return chosen


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_verb_on_every_file(path, tmp_path):
    """Those that cost little; all verbs on those files that between them say all there is."""
    if path in representatives():
        look_at_everything(path, tmp_path, steps(path), representatives()[path])
    else:
        glance(path, steps(path))


def test_most_files_have_integers_and_the_others_say_which_node_has_none(tmp_path):
    made = 0
    for path in sorted(representatives()):
        dt = steps(path)
        graph = nir.read_graph(path, float(dt[1]) if dt else None)
        made += in_integers(path, graph, tmp_path, dt)
    assert len(representatives()) / 2 < made < len(representatives())


def test_each_kind_of_file_has_one_for_all_verbs():
    assert 20 < len(representatives()) < 60
    assert {path.suffix for path in representatives()} == {".t1c", ".nir"}


@pytest.mark.slow
def test_every_verb_on_a_spiking_transformer(tmp_path):
    """Spikformer's block, as ``make zoo`` has it: shown an image, it answers with one value."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    peer("spikingjelly")
    models: Any = importlib.import_module("zoo.models.papers_attention")
    entry = next(e for e in models.attention_entries() if e.name.startswith("Spikformer"))
    torch.manual_seed(0)
    model = entry.make().eval()
    generator = torch.Generator().manual_seed(0)
    bridge = importlib.import_module("t1c.bridge")
    graph = bridge.to_ir(model, entry.draw((1, *entry.shape), generator), verify=False)
    ir.write(tmp_path / "spikformer.t1c", graph)
    look_at_everything(tmp_path / "spikformer.t1c", tmp_path)
    images = entry.draw((3, *entry.shape), generator)
    np.savez(tmp_path / "images.npz", x=images.numpy())
    path, data = tmp_path / "spikformer.t1c", tmp_path / "images.npz"
    did = told("profile", path, data)["measured"]
    assert did["spikes"] > 10
    assert did["samples"] == 3
    ran = told("run", path, data, "-o", tmp_path / "out.npz")
    assert ran["samples"] == 3
    entry.rest(model)
    with torch.no_grad(), np.load(tmp_path / "out.npz") as results:
        np.testing.assert_allclose(results["answer"], model(images), atol=1e-4)
    assert told("plot", path, data, tmp_path / "spikes.png")["figure"]
    other = graph.replace(
        nodes={**graph.nodes, "lif": graph.nodes["lif"].replace(v_threshold=np.array([0.5]))}
    )
    assert not sdk.compare_graphs(graph, other)
    assert [change.name for change in sdk.compare_graphs(graph, other).changed] == ["lif"]
