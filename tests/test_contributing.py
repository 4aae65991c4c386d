"""CONTRIBUTING.md, followed: what its pieces declare goes through what primitives go through.

Each piece runs in the file that the page puts it into, as if it stood there; what it enters into
tables is taken out again.
"""

import __future__

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.bridge.engine import ordered
from t1c.bridge.modules import exporting
from t1c.bridge.modules import registry as importing
from t1c.deploy.c import registry as in_c
from t1c.deploy.onnx import registry as in_onnx
from t1c.ir import registry

from . import exported_examples, strategies, test_onnx
from .c_models import Models
from .test_deploy_c import compared, drawn

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
PIECES = dict(
    re.findall(r"^In `(\S+\.py)`[^\n]*:\n\n```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
)
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
LINES = CODE[len(PIECES) :]
TABLES = (
    registry._REGISTRY,
    *(importing._IMPORTERS, exporting._EXPORTERS, exporting._STATES, ordered._AS_WRITTEN),
    *(in_onnx.TRANSLATIONS, in_c._elements),
)


def file_at(path):
    """The module that a file is."""
    dotted = ".".join(Path(path).relative_to("src" if path.startswith("src") else ".").parts)
    return importlib.import_module(dotted.removesuffix(".py"))


def put_into(path):
    """Run a piece among the names of its file, and give what it defined."""
    module = file_at(path)
    names = dict(vars(module))
    # As in each of these files.
    later = __future__.annotations.compiler_flag
    exec(compile(PIECES[path], path, "exec", flags=later, dont_inherit=True), names)
    return {n: v for n, v in names.items() if v is not vars(module).get(n) and n[0] != "_"}


def entries(table):
    """What a table holds now; a set holds nothing but keys."""
    return dict(table) if isinstance(table, dict) else dict.fromkeys(table)


@pytest.fixture(scope="module", autouse=True)
def followed():
    """The page followed up to its tests."""
    for path in PIECES:
        file_at(path)  # what it enters into tables itself stays there
    pairs = [(table, entries(table)) for table in TABLES]
    with pytest.MonkeyPatch.context() as patch:
        for path in PIECES:
            if path.startswith("src"):
                for name, made in put_into(path).items():
                    if isinstance(made, type) and issubclass(made, ir.Node):
                        patch.setattr(ir, name, made, raising=False)
        entered = [entries(table).items() - old.items() for table, old in pairs]
        yield
        # Other files may have been loaded meanwhile, with entries of their own.
        for (table, old), new in zip(pairs, entered, strict=True):
            for key, _ in new:
                table.pop(key) if isinstance(table, dict) else table.remove(key)
                assert key not in old


def test_each_piece_has_a_file_and_no_piece_is_left_out():
    assert len(PIECES) == 6
    assert len(LINES) == 2
    assert all((ROOT / path).is_file() for path in PIECES)
    # Everything that is named by its path is there.
    named = set(re.findall(r"`((?:src|tests)/[\w/]+\.py)`", PAGE))
    assert named > set(PIECES)
    assert all((ROOT / path).is_file() for path in named)
    assert {"softshrink"} <= put_into("tests/strategies.py").keys()


def test_the_strategy_can_stand_where_the_page_puts_it():
    """The tables of the file name functions, so that it is not at the end."""
    said = re.search(
        r"^In `(\S+)`, above the line `(.*) \.\.\.`, with a line `(.*)` in `LATER`", PAGE, re.M
    )
    path, below, line = said.groups()
    source = (ROOT / path).read_text()
    assert source.count(f"\n{below}") == source.count("\nLATER = {\n") == 1
    source = source.replace(f"\n{below}", f"\n{PIECES[path]}\n\n{below}")
    source = source.replace("\nLATER = {\n", f"\nLATER = {{\n    {line}\n")
    names = {"__name__": "followed", "__package__": "tests"}
    exec(compile(source, path, "exec"), names)
    assert names["LATER"]["Softshrink"] == (names["ANY"], names["softshrink"])


def network(lambd=0.25):
    """It lies before a neuron, in a loop, and its value is seen."""
    rng = np.random.default_rng(3)
    nodes = {
        "in": ir.Input((6,)),
        "w": ir.Linear(rng.integers(-256, 257, (6, 6)) / 256),
        "shrunk": ir.Softshrink(lambd),
        "lif": ir.LIF(*(np.array(v) for v in (2.0, 2.0, 0.0, 0.5))),
        "back": ir.Softshrink(0.5),
        "spikes": ir.Output((6,)),
        "values": ir.Output((6,)),
    }
    edges = [("in", "w"), ("w", "shrunk"), ("shrunk", "lif"), ("lif", "back"), ("back", "lif"),
             ("lif", "spikes"), ("shrunk", "values")]  # fmt: skip
    return ir.Graph(nodes, edges, allow_cycles=True)


def test_it_is_a_primitive_with_checks_shapes_and_a_file(tmp_path):
    assert "Softshrink" in ir.list_primitives()
    with pytest.raises(ir.NodeError, match="Softshrink, field 'lambd'"):
        ir.Softshrink(-1.0)
    graph = network()
    assert graph.nodes["shrunk"].output_type["output"].tolist() == [6]
    ir.write(tmp_path / "g.t1c", graph)
    assert ir.read(tmp_path / "g.t1c").difference(graph) == []
    assert ir.read_version(tmp_path / "g.t1c") == ir.Softshrink.since
    assert not graph.equals(network(0.5))


@pytest.mark.parametrize("reproducible", [False, True])
def test_steps_and_a_run_give_the_numbers_of_the_reference(reproducible):
    graph = network()
    xs = np.random.default_rng(4).integers(-128, 257, (30, 3, 6)) / 256
    want, _ = ir.Reference(graph, np.float32).run(xs.astype(np.float32))
    executor = bridge.ir_to_torch(graph, return_state=True, reproducible=reproducible)
    given = torch.from_numpy(xs.astype(np.float32))
    found, _ = executor.run(given)
    state, steps = None, []
    for x in given:
        out, state = executor(x, state)
        steps.append(out)
    for name in ("spikes", "values"):
        assert np.array_equal(found[name].detach().numpy(), want[name])
        stepped = torch.stack([out[name] for out in steps])
        assert np.array_equal(stepped.detach().numpy(), want[name])
    assert 50 < want["spikes"].sum() < want["spikes"].size - 50
    assert 50 < (want["values"] == 0).sum() < want["values"].size - 50


def test_a_model_that_has_the_layer_becomes_a_graph_with_it():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Softshrink(0.125))
    graph = bridge.to_ir(model, torch.zeros(1, 6))
    assert [node.primitive for node in graph.nodes.values()][1:-1] == ["Affine", "Softshrink"]
    x = torch.randn(4, 6)
    torch.testing.assert_close(bridge.ir_to_torch(graph)(x), model(x))


def test_the_pages_test_agrees_with_torch():
    put_into("tests/test_primitives_against_torch.py")["test_softshrink"]()
    x = torch.tensor([[-1.0, -0.25, 0.0, 0.2, 0.75]])
    assert F.softshrink(x, 0.25).tolist() == [[-0.75, 0, 0, 0, 0.5]]
    shrink = ir.Softshrink(0.25)
    assert shrink.step(x.numpy(), ())[0].tolist() == [[-0.75, 0, 0, 0, 0.5]]


def test_it_is_in_onnx_what_it_is_here(tmp_path, monkeypatch):
    entry = eval("{" + LINES[0] + "}", dict(vars(test_onnx)))
    monkeypatch.setattr(test_onnx, "EXAMPLES", entry)
    (primitive,) = entry
    test_onnx.test_a_primitive_is_in_onnx_what_it_is_here(primitive, tmp_path)


def test_it_is_in_c_what_it_is_here(tmp_path):
    made = put_into("tests/strategies.py")["softshrink"]
    nodes = drawn(st.builds(lambda d: made(d, (6,)), numbers()), 3, 5)
    assert len({node.lambd for node in nodes}) > 1
    values, spikes = compared(Models([network(n.lambd) for n in nodes], tmp_path, flags=("-O0",)))
    assert values == len(nodes) * 2 * 24 * 6
    assert spikes > 50


@st.composite
def numbers(draw):
    return strategies.Numbers(draw)


def test_the_line_for_programs_is_one():
    takes, node = eval(LINES[1], dict(vars(exported_examples)))
    assert takes in exported_examples.INPUTS
    assert type(node) is ir.Softshrink
