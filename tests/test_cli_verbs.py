"""The verbs that look into a network, compare and draw it: each shows what the library returns."""

import json
import os
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from t1c import ir, nir, sdk, viz
from t1c.cli import app
from t1c.sdk.measure import INT8_45NM

from .engine_helpers import grid, lif
from .strategies_executor import chain

DATA = Path(__file__).parent / "data"
NIR = DATA / "nir" / "lif.nir"
DT = 1e-4


def network(threshold=0.25, width=4, **metadata):
    rng = np.random.default_rng(0)
    graph = chain(
        ("input", ir.Input((3,))),
        ("fc", ir.Affine(grid(rng, width, 3), grid(rng, width))),
        ("lif", lif(threshold)),
        ("output", ir.Output((width,))),
    )
    graph.metadata = metadata
    return graph


def samples(count=3, steps=5):
    return np.random.default_rng(1).integers(0, 257, (steps, count, 3)) / 256


@pytest.fixture
def t1c(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ir.write("net.t1c", network())
    ir.write("same.t1c", network())
    ir.write("other.t1c", network(0.5, note="later"))
    ir.write("wide.t1c", network(width=8))
    np.savez("data.npz", x=samples())

    def run(*arguments, status=0, **options):
        result = CliRunner().invoke(app, [str(a) for a in arguments], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run


LOOKS = {
    "info": ((), lambda f, **o: sdk.file_info(f, **o)),
    "analyze": ((), lambda f, **o: sdk.analyze_graph(f, **o)),
    "analyze --brief": ((), lambda f, **o: sdk.summarize(f, **o)),
    "analyze --node": (("LIF",), lambda f, n, **o: sdk.analyze_node(f, n, **o)),
    "profile": ((), lambda f, **o: sdk.profile_graph(f, **o)),
    "stats": ((), lambda f, **o: sdk.get_node_statistics(f, **o)),
    "stats of one": (("LIF",), lambda f, n, **o: sdk.get_node_statistics(f, n, **o)),
    "node": (("LIF",), lambda f, n, **o: sdk.inspect_node(f, n, **o)),
    "trace": (("Input", "Output"), lambda f, a, b, **o: sdk.trace_path(f, a, b, **o)),
    "trace --shortest": (
        ("Input", "Output"), lambda f, a, b, **o: sdk.trace_path(f, a, b, "shortest", **o),
    ),
    "hash": ((), lambda f, **o: sdk.hash_file(f, **o)),
    "hash --structure": ((), lambda f, **o: sdk.hash_file(f, False, **o)),
    "lint": ((), lambda f, **o: sdk.lint_graph(f, **o)),
    "validate": ((), lambda f, **o: sdk.validate_file(f, **o)),
}  # fmt: skip


@pytest.mark.parametrize("what", LOOKS)
@pytest.mark.parametrize("source", ["net.t1c", NIR], ids=["t1c", "nir"])
def test_a_verb_shows_what_the_library_returns(t1c, what, source):
    kinds, function = LOOKS[what]
    options = {"dt": DT} if source is NIR else {}
    graph = nir.read_graph(source, **options)
    names = [next(n for n, node in graph.nodes.items() if node.primitive == k) for k in kinds]
    expected = function(source, *names, **options)
    verb, *words = what.removesuffix(" of one").split()
    line = [verb, source, *words, *names, *(["--dt", DT] if options else [])]
    assert json.loads(t1c(*line, "--json").stdout) == json.loads(json.dumps(expected.to_dict()))
    told = t1c(*line).stdout
    for word in str(expected).split():
        if not word.startswith("--"):
            assert word in told


def test_a_nir_file_without_dt_is_an_error_that_says_what_to_pass(t1c):
    for verb, status in (("analyze", 1), ("stats", 1), ("hash", 1), ("lint", 2), ("validate", 2)):
        assert "--dt" in t1c(verb, NIR, status=status).stderr


@pytest.mark.parametrize("verb", ["analyze", "profile", "stats", "hash", "lint", "validate"])
def test_a_network_is_piped_in(t1c, verb):
    piped = t1c(verb, "-", input=Path("net.t1c").read_bytes()).stdout
    assert piped == t1c(verb, "net.t1c").stdout.replace("net.t1c", "-")


def test_trace_and_find_answer_by_their_status(t1c):
    assert "input -> fc -> lif" in t1c("trace", "net.t1c", "input", "lif").stdout
    assert "no path" in t1c("trace", "net.t1c", "lif", "input", status=1).stdout
    assert "there is no node 'x'" in t1c("trace", "net.t1c", "x", "lif", status=2).stderr
    found = json.loads(t1c("find", "net.t1c", "Affine->LIF", "--json").stdout)
    assert found["chains"] == [["fc", "lif"]]
    t1c("find", "net.t1c", "LIF->LIF", status=1)


def test_profile_runs_the_network_and_takes_other_energies(t1c):
    def energy(*options):
        told = t1c("profile", "net.t1c", "-i", "data.npz", "--json", *options).stdout
        return json.loads(told)["measured"]["energy"]["effective"]

    expected = sdk.profile_graph("net.t1c", samples())
    told = json.loads(t1c("profile", "net.t1c", "-i", "data.npz", "--json").stdout)["measured"]
    assert told["spikes"] == expected.measured.spikes > 0
    macs, acs = told["effective_macs"], told["effective_acs"]
    assert macs > 0
    assert energy() == pytest.approx((4.6 * macs + 0.9 * acs) * 1e-12)
    assert energy("--energy", "int8") == pytest.approx(INT8_45NM.joules(macs, acs))
    assert energy("--energy", "2,0.5") == pytest.approx((2 * macs + 0.5 * acs) * 1e-12)
    for wrong in ("int7", "1", "1,2,3", "1.2.3,4"):
        refused = t1c("profile", "net.t1c", "--energy", wrong, status=2)
        assert "none of float32, float16, int32, int8" in refused.stderr


def test_compare_sets_costs_side_by_side(t1c):
    told = json.loads(t1c("compare", "net.t1c", "wide.t1c", "--json").stdout)
    figures = {f["name"]: (f["a"], f["b"], f["change"]) for f in told["figures"]}
    assert (told["a"], told["b"], told["samples"]) == ("net.t1c", "wide.t1c", None)
    # Affine: out (in + 1) numbers of four bytes; the neuron has four of eight.
    assert figures["parameters"] == (4 * 4 + 4, 8 * 4 + 4, pytest.approx(16 / 20))
    stored = [
        sum(a.nbytes for n in ir.read(file).nodes.values() for a in n.parameters().values())
        for file in ("net.t1c", "wide.t1c")
    ]
    assert figures["parameters, stored"][:2] == tuple(stored)
    assert figures["MACs per step, dense"] == (12, 24, 1.0)
    assert figures["state per sample"] == (4, 8, 1.0)
    assert "energy" not in figures
    table = t1c("compare", "net.t1c", "wide.t1c", "-i", "data.npz").stdout
    counts = [sdk.profile_graph(f, samples()).measured.spikes for f in ("net.t1c", "wide.t1c")]
    row = next(line.split() for line in table.splitlines() if line.startswith("spikes"))
    assert row[1:3] == [sdk.format_number(count, 4) for count in counts]
    assert "+100.0 %" in table


def test_diff_tells_what_changed(t1c):
    assert json.loads(t1c("diff", "net.t1c", "same.t1c", "--json").stdout)["equal"] is True
    told = t1c("diff", "net.t1c", "other.t1c", "--html", "diff.html", status=1).stdout
    assert "v_threshold" in told
    assert "metadata.note" in told
    assert "v_threshold" in Path("diff.html").read_text()
    told = t1c("diff", "net.t1c", "other.t1c", "--no-metadata", "--atol", 0.25)
    assert "are equal" in told.stdout
    t1c("diff", "net.t1c", "none.t1c", status=2)


def test_a_nir_file_takes_the_dt_of_its_counterpart(t1c):
    t1c("convert", NIR, "lif.t1c", "--dt", DT)
    assert t1c("diff", "lif.t1c", NIR).stdout == t1c("diff", "lif.t1c", NIR, "--dt", DT).stdout
    t1c("diff", NIR, "lif.t1c", "--html", "diff.html")
    figures = json.loads(t1c("compare", NIR, "lif.t1c", "--json").stdout)["figures"]
    assert all(f["a"] == f["b"] for f in figures)
    t1c("diff", NIR, NIR, status=2)
    # A graph in memory serves too; one that records nothing does not.
    assert nir.counterpart_dt(NIR, ir.read("lif.t1c")) == DT
    assert nir.counterpart_dt(NIR, "net.t1c") is None
    assert nir.counterpart_dt(NIR, "lif.t1c", 2e-3) == 2e-3
    assert nir.counterpart_dt("net.t1c", "lif.t1c") is None


def test_stamp_writes_and_checks(t1c):
    told = t1c("stamp", "net.t1c", "-o", "stamped.t1c", "--json").stdout
    digest = sdk.fingerprint_graph(network())
    assert json.loads(told)["stamp"]["full"] == digest
    assert "no stamp" in t1c("stamp", "net.t1c", "--check", status=1).stdout
    assert "unchanged" in t1c("stamp", "stamped.t1c", "--check").stdout
    assert t1c("hash", "stamped.t1c").stdout == f"{digest}  stamped.t1c\n"
    told = t1c("stamp", "net.t1c").stdout
    assert "net.t1c (in place of the file that was there, " in told
    assert "no stamp" in told
    assert "the same stamp" in t1c("stamp", "net.t1c").stdout
    again = json.loads(t1c("stamp", "net.t1c", "-o", "copy.t1c", "--json").stdout)
    assert (again["in_place"], again["before"]["full"]) == (False, digest)
    assert again["target_bytes"] == os.path.getsize("copy.t1c")
    assert ir.read("net.t1c").equals(ir.read("stamped.t1c"))
    changed = ir.read("net.t1c")
    changed.nodes["lif"] = lif(0.5)
    ir.write("net.t1c", ir.Graph(changed.nodes, changed.edges, changed.metadata))
    told = json.loads(t1c("stamp", "net.t1c", "--check", "--json", status=1).stdout)
    assert told["verdict"] == "weights changed"
    t1c("stamp", NIR, "-o", "stamped.nir", "--dt", DT)
    assert "unchanged" in t1c("stamp", "stamped.nir", "--check", "--dt", DT).stdout
    piped = Path("same.t1c").read_bytes()
    assert "-o FILE" in t1c("stamp", "-", status=2, input=piped).stderr
    t1c("stamp", "-", "-o", "piped.t1c", input=piped)
    assert ir.read("piped.t1c").equals(ir.read("stamped.t1c"))


def test_lint_answers_by_its_status(t1c):
    assert "nothing found" in t1c("lint", "net.t1c", "--ignore", "T").stdout
    ir.write("silent.t1c", network(-1.0))
    found = t1c("lint", "silent.t1c", status=1).stdout
    assert "T101" in found
    t1c("lint", "silent.t1c", "--ignore", "T1, T4")
    graph = network()
    graph.nodes["dead"], graph.edges = lif(0.25), [*graph.edges, ("fc", "dead")]
    graph.check()
    ir.write("dead.t1c", graph)
    told = json.loads(t1c("lint", "dead.t1c", "--select", "T201", "--json").stdout)
    assert [f["code"] for f in told["findings"]] == ["T201"]
    t1c("lint", "dead.t1c", "--select", "T201", "--strict", status=1)
    assert "no rule" in t1c("lint", "net.t1c", "--select", "X9", status=2).stderr
    assert json.loads(t1c("rules", "--json").stdout) == sdk.list_lint_rules().to_dict()


def test_pictures_are_written_and_shown(t1c, monkeypatch):
    assert t1c("export-html", "net.t1c").stdout == "net.html\n"
    assert Path("net.html").read_text() == viz.render_html("net.t1c")
    assert json.loads(t1c("export-html", "net.t1c", "a.svg", "--json").stdout) == {"page": "a.svg"}
    assert Path("a.svg").read_text() == viz.to_svg("net.t1c")
    t1c("export-html", NIR, "a.dot", "--dt", DT)
    assert Path("a.dot").read_text() == viz.to_dot(NIR, dt=DT)
    t1c("export-html", "-", "--title", "Mine", input=Path("net.t1c").read_bytes())
    assert "<title>Mine</title>" in Path("network.html").read_text()
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    page = Path(t1c("visualize", "net.t1c").stdout.strip())
    assert opened == [page.as_uri()]
    assert page.read_text() == viz.render_html("net.t1c")
    page.unlink()


def test_folders_are_converted(t1c):
    Path("models/more").mkdir(parents=True)
    for name in ("models/a.nir", "models/more/b.nir"):
        Path(name).write_bytes(NIR.read_bytes())
    line = ["convert", "models", "out", "--to", "t1c", "--dt", DT]
    assert "2 written" in t1c(*line).stdout
    read = nir.read(NIR, dt=DT)
    for name in ("out/a.t1c", "out/more/b.t1c"):
        assert ir.read(name).equals(read)
    assert "2 skipped" in t1c(*line).stdout
    assert "2 written" in t1c(*line, "--again").stdout
    Path("models/c.nir").write_text("no network")
    told = json.loads(t1c(*line, "--json", status=1).stdout)
    assert (told["skipped"], told["failed"]) == (2, 1)
    for wrong in (["--to", "onnx"], ["--reset", "zero"]):
        t1c("convert", "models", "out", *wrong, status=2)
    for wrong in (["--to", "t1c"], ["--again"]):
        assert "for several files" in t1c("convert", NIR, "x.t1c", *wrong, status=2).stderr
    assert not os.path.exists("x.t1c")
