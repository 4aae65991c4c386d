"""NIR files with well-known slips: refused, and opened by the repair that is asked for by name.

Each is compared with the file that needs none: the same graph, and the same spikes.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from t1c import ir, nir, sdk
from t1c.cli import app
from t1c.nir.file_read import read_raw
from t1c.nir.file_write import write_raw
from t1c.nir.raw import NirGraph, NirNode
from t1c.nir.repairs import serving

from .nir_difference import difference

DATA = Path(__file__).parent / "data" / "nir"
RECURRENT = "producers/snntorch_rleaky"
CONVOLUTIONAL = "producers/snntorch_conv"


def with_nodes(raw, **nodes):
    return dataclasses.replace(raw, nodes={**raw.nodes, **nodes})


def with_fields(node, **fields):
    return dataclasses.replace(node, fields={**node.fields, **fields})


def batched(raw):
    """As an exporter writes it that takes its sample's shape for the network's."""
    nodes = {}
    for name, node in raw.nodes.items():
        if isinstance(node, NirGraph):
            nodes[name] = batched(node)
        elif node.type in ("Input", "Output"):
            nodes[name] = with_fields(node, shape=np.array([1, *node.fields["shape"]]))
        elif node.type in ("Affine", "Linear", "Conv2d", "Flatten", "AvgPool2d"):
            nodes[name] = node
        else:
            fields = {n: v[None] for n, v in node.fields.items() if np.ndim(v)}
            nodes[name] = with_fields(node, **fields)
    return dataclasses.replace(raw, nodes=nodes)


def with_batched_parameters(raw):
    """The same, but for its Inputs and Outputs."""
    return with_nodes(batched(raw), **borders(raw))


def less_named(raw):
    """A subgraph whose node is called lif1 while its edges say lif."""
    inner = raw.nodes["s"]
    nodes = {("lif1" if n == "lif" else n): v for n, v in inner.nodes.items()}
    return with_nodes(raw, s=dataclasses.replace(inner, nodes=nodes))


def apart(raw):
    """A layer that was taken apart, outer edges naming it as a whole."""
    edges = []
    for a, b in raw.edges:
        inside = a.startswith("1.") and b.startswith("1.")
        edges.append((a, b) if inside else (a.split(".")[0], b.split(".")[0]))
    return dataclasses.replace(raw, edges=edges)


def by_itself(raw):
    """The same, with the recurrence as an edge from the layer to itself."""
    edges = [(a.split(".")[0], b.split(".")[0]) for a, b in raw.edges]
    return dataclasses.replace(raw, edges=list(dict.fromkeys(edges)))


def counted_with_batch(raw):
    flatten = raw.nodes["3"]
    return with_nodes(
        raw, **{"3": with_fields(flatten, start_dim=np.int64(flatten.fields["start_dim"] + 1))}
    )


CASES = [
    ("batch-axis", "recurrent_affine", with_batched_parameters),
    ("batch-axis", "subgraph_recurrent", with_batched_parameters),
    ("batch-axis", "producers/snntorch_leaky_zero", with_batched_parameters),
    ("batch-axis", CONVOLUTIONAL, batched),
    ("inner-names", "subgraph_recurrent", less_named),
    ("flattened-names", RECURRENT, apart),
    ("flattened-names", RECURRENT, by_itself),
    ("flatten-batch", CONVOLUTIONAL, counted_with_batch),
]


@pytest.mark.parametrize(
    ("name", "sibling", "broken"), CASES, ids=[f"{n}-{s.split('/')[-1]}" for n, s, _ in CASES]
)
def test_a_repair_gives_the_sibling_that_needs_none(name, sibling, broken, tmp_path):
    good = read_raw(DATA / f"{sibling}.nir")
    # snnTorch's files do not say their reset, which is warned of where nobody says it.
    how = {"dt": 1e-4} | ({"reset": "zero"} if "snntorch" in sibling else {})
    path = tmp_path / "broken.nir"
    write_raw(path, broken(good))
    with pytest.raises(ir.T1CError) as refusal:
        nir.read(path, **how)
    assert f"--repair {name}" in str(refusal.value)
    assert f"repair=['{name}']" in str(refusal.value)

    graph = nir.read(path, **how, repair=[name])
    record = graph.metadata["nir"]
    assert record["repairs"] == [name]
    assert record["remarks"]  # what was changed, and to what

    right = nir.read(DATA / f"{sibling}.nir", **how)
    assert sorted(graph.edges) == sorted(right.edges) or name == "inner-names"
    inputs = right.inputs()
    (shape,) = [node.shape for node in inputs.values()]
    rng = np.random.default_rng(0)
    xs = rng.normal(2.0, 8.0, (120, 3, *shape))
    mine, theirs = (ir.Reference(g).run(xs)[0] for g in (graph, right))
    np.testing.assert_array_equal(mine, theirs)
    assert np.count_nonzero(theirs) > 20


def test_a_batch_axis_that_passes_through_is_dropped_on_request(tmp_path):
    """The file opens, as a network of another shape: only whoever asks for it is believed."""
    good = read_raw(DATA / "recurrent_affine.nir")
    write_raw(tmp_path / "broken.nir", batched(good))
    kept = nir.read(tmp_path / "broken.nir", dt=1e-4)
    mended = nir.read(tmp_path / "broken.nir", dt=1e-4, repair=["batch-axis"])
    right = nir.read(DATA / "recurrent_affine.nir", dt=1e-4)
    (shape,) = [node.shape for node in right.inputs().values()]
    assert [node.shape for node in kept.inputs().values()] == [(1, *shape)]
    assert [node.shape for node in mended.inputs().values()] == [shape]
    xs = np.random.default_rng(0).normal(2.0, 8.0, (40, 3, *shape))
    np.testing.assert_array_equal(*(ir.Reference(g).run(xs)[0] for g in (mended, right)))


@pytest.mark.parametrize("name", nir.REPAIRS)
@pytest.mark.parametrize("file", ["recurrent_affine", "flatten_default", CONVOLUTIONAL])
def test_a_file_that_opens_refuses_every_repair(name, file):
    with pytest.raises(ir.InputError, match=r"finds nothing to mend|can be imported without it"):
        nir.read(DATA / f"{file}.nir", dt=1e-4, repair=[name])


def test_files_without_a_slip_have_nothing_to_mend():
    refused, batches = 0, set()
    for path in sorted(DATA.rglob("*.nir")):
        raw = read_raw(path)
        for name, repair in nir.REPAIRS.items():
            if name != "flatten-batch" and repair.mend(raw)[1]:
                batches.add((name, path.stem.split("_")[0]))
            else:
                refused += 1
    assert refused > 250
    # Its files were made from a sample with a batch of one, which stands in their Inputs' shapes.
    assert batches == {("batch-axis", "norse")}


def test_the_batch_of_a_producer_is_what_its_dialect_drops():
    path = DATA / "producers" / "norse_lifbox.nir"
    by_dialect = nir.read(path, dialect="norse")
    mended = nir.read(path, dt=1e-6, repair=["batch-axis"])
    shapes = [[n.shape for n in g.inputs().values()] for g in (by_dialect, mended)]
    assert shapes[0] == shapes[1] == [(8,)]
    with pytest.raises(ir.InputError, match="finds nothing"):
        nir.read(DATA / "recurrent_affine.nir", dt=1e-3, repair=["batch-axis"])


def test_a_repair_that_is_not_what_keeps_the_file_from_opening_is_refused(tmp_path):
    """Both are found, and one alone would do."""
    flatten = read_raw(DATA / "flatten_default.nir")
    name = next(n for n, v in flatten.nodes.items() if v.type == "Flatten")
    assert nir.REPAIRS["flatten-batch"].mend(flatten)[1]
    with pytest.raises(ir.InputError, match=r"'flatten-batch'.*can be imported without it; "):
        nir.read(DATA / "flatten_default.nir", dt=1e-4, repair=["flatten-batch"])
    inner = dataclasses.replace(
        flatten, nodes={(f"{n}1" if n == name else n): v for n, v in flatten.nodes.items()}
    )
    nodes = {**borders(flatten), "s": inner}
    broken = dataclasses.replace(flatten, nodes=nodes, edges=[("0", "s"), ("s", "2")])
    write_raw(tmp_path / "broken.nir", broken)
    asked = ["inner-names", "flatten-batch"]
    with pytest.raises(ir.InputError, match="without it with the others"):
        nir.read(tmp_path / "broken.nir", dt=1e-4, repair=asked)
    assert nir.read(tmp_path / "broken.nir", dt=1e-4, repair=asked[:1]).metadata["nir"]["repairs"]


def borders(raw):
    return {n: v for n, v in raw.nodes.items() if getattr(v, "type", "") in ("Input", "Output")}


def test_two_slips_need_two_repairs(tmp_path):
    good = read_raw(DATA / "subgraph_recurrent.nir")
    path = tmp_path / "broken.nir"
    write_raw(path, with_batched_parameters(less_named(good)))
    with pytest.raises(ir.T1CError, match="--repair inner-names --repair batch-axis"):
        nir.read(path, dt=1e-4)
    for alone in ("inner-names", "batch-axis"):
        with pytest.raises(ir.GraphError):
            nir.read(path, dt=1e-4, repair=[alone])
    graph = nir.read(path, dt=1e-4, repair=["batch-axis", "inner-names"])
    assert graph.metadata["nir"]["repairs"] == ["inner-names", "batch-axis"]
    with pytest.raises(ir.InputError, match="'flatten-batch' finds nothing"):
        nir.read(path, dt=1e-4, repair=["batch-axis", "inner-names", "flatten-batch"])


def test_a_mended_graph_is_written_as_the_sibling(tmp_path):
    good = read_raw(DATA / f"{RECURRENT}.nir")
    write_raw(tmp_path / "broken.nir", apart(good))
    graph = nir.read(tmp_path / "broken.nir", dt=1e-4, reset="zero", repair=["flattened-names"])
    nir.write(tmp_path / "mended.nir", graph)
    assert difference(read_raw(tmp_path / "mended.nir"), good) == []


def test_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = read_raw(DATA / "recurrent_affine.nir")
    write_raw("broken.nir", with_batched_parameters(good))
    run = CliRunner().invoke
    refused = run(app, ["convert", "broken.nir", "model.t1c", "--dt", "100us"])
    assert refused.exit_code == 1
    assert "--repair batch-axis" in " ".join(refused.output.split())
    asked = ["--dt", "100us", "--repair", "batch-axis"]
    done = run(app, ["convert", "broken.nir", "model.t1c", *asked])
    assert done.exit_code == 0, done.output
    assert "batch-axis" in done.output
    assert ir.read("model.t1c").metadata["nir"]["repairs"] == ["batch-axis"]
    assert run(app, ["convert", "broken.nir", "x.t1c", "--repair", "batch"]).exit_code == 1
    several = run(app, ["convert", "*.nir", "out", "--to", "t1c", *asked])
    assert several.exit_code == 0, several.output
    assert ir.read("out/broken.t1c").equals(ir.read("model.t1c"))


def test_a_repair_is_for_nir_files_only(tmp_path):
    graph = ir.Graph({"in": ir.Input((2,)), "out": ir.Output((2,))}, [("in", "out")])
    ir.write(tmp_path / "model.t1c", graph)
    with pytest.raises(ir.InputError, match=r"repair for a \.t1c file"):
        sdk.convert(tmp_path / "model.t1c", tmp_path / "copy.t1c", repair=["batch-axis"])
    with pytest.raises(ir.InputError, match="Did you mean 'batch-axis'"):
        nir.read(DATA / "lif.nir", dt=1e-4, repair="batchaxis")


def node(kind, **fields):
    return NirNode(kind, fields)


def neuron(n=2):
    ones = np.ones(n)
    return node("LIF", tau=ones, r=ones, v_leak=0 * ones, v_threshold=ones)


def neuron_less():
    return node("Linear", weight=np.eye(2))


def ended(nodes, edges):
    return NirGraph(
        {
            "i": node("Input", shape=np.array([2])),
            **nodes,
            "o": node("Output", shape=np.array([2])),
        },
        edges,
    )


UNCLEAR = {
    "two numbered nodes": (
        "inner-names",
        ended(
            {"s": ended({"lif1": neuron(), "lif2": neuron()}, [("i", "lif"), ("lif", "o")])},
            [("i", "s"), ("s", "o")],
        ),
        "may be any of 'lif1', 'lif2'",
    ),
    "two neurons": (
        "flattened-names",
        ended({"l.a": neuron(), "l.b": neuron()}, [("i", "l"), ("l", "o")]),
        "2 neurons",
    ),
    "two parts beside a neuron that feeds itself": (
        "flattened-names",
        ended(
            {"l.lif": neuron(), "l.v": neuron_less(), "l.w": neuron_less()},
            [("i", "l"), ("l", "l"), ("l", "o")],
        ),
        "2 parts beside its neuron",
    ),
    "a part without edges": (
        "flattened-names",
        ended(
            {"l.lif": neuron(), "l.w": node("Linear", weight=np.eye(2))}, [("i", "l"), ("l", "o")]
        ),
        "no edge names 'l.w'",
    ),
    "the batch flattened": (
        "flatten-batch",
        ended(
            {
                "f": node("Flatten", start_dim=np.int64(0), end_dim=np.int64(-1)),
                "g": node("Flatten", start_dim=np.int64(1), end_dim=np.int64(-1)),
            },
            [("i", "f"), ("f", "g"), ("g", "o")],
        ),
        "it flattens that",
    ),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_can_be_mended_in_two_ways_is_not(case, tmp_path):
    name, raw, said = UNCLEAR[case]
    assert serving(raw, lambda _: True) == ()
    write_raw(tmp_path / "broken.nir", raw)
    with pytest.raises(ir.GraphError, match=said):
        nir.read(tmp_path / "broken.nir", dt=0.1, repair=[name])


def test_a_repair_leaves_the_graph_in_memory_alone():
    good = read_raw(DATA / "recurrent_affine.nir")
    broken, untouched = batched(good), batched(good)
    assert nir.REPAIRS["batch-axis"].mend(broken)[1]
    assert difference(broken, untouched) == []


def test_a_feature_axis_of_one_is_no_batch():
    """What has as many dimensions as its weights say keeps its leading 1."""
    raw = read_raw(DATA / "conv2d.nir")
    assert nir.REPAIRS["batch-axis"].mend(raw)[1] == []
    one = ended(
        {"n": node("Scale", scale=np.ones((1, 2))), "w": node("Linear", weight=np.eye(2))},
        [("i", "n"), ("n", "w"), ("w", "o")],
    )
    mended, remarks = nir.REPAIRS["batch-axis"].mend(one)
    assert mended.nodes["n"].fields["scale"].shape == (2,)
    assert remarks == ["Scale 'n', 'scale': (1, 2) became (2,)."]
