"""What users meet in a notebook: tables, completion, arrays, and words where torch is missing."""

import os
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn

import t1c.nir
from t1c import bridge, ir, sdk
from t1c.bridge import GraphExecutor

from .engine_helpers import grid, lif
from .strategies_executor import chain


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def network(hold=None, name="lif"):
    rng = np.random.default_rng(0)
    return chain(
        ("input", ir.Input((3,), hold=hold)),
        ("fc", ir.Affine(grid(rng, 4, 3), grid(rng, 4))),
        (name, lif(0.25)),
        ("output", ir.Output((4,))),
    )


def samples(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 257, shape) / 256


class Cells(HTMLParser):
    """The text of all cells, and whether every tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.cells = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag in ("td", "th", "caption"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


# Arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ">f4", np.uint8, bool])
def test_run_takes_arrays_as_it_takes_tensors(dtype):
    executor = bridge.ir_to_torch(network())
    xs = samples(6, 2, 3) if np.dtype(dtype).kind == "f" else np.arange(36).reshape(6, 2, 3) % 2
    xs = xs.astype(dtype)
    before = xs.copy()
    expected, _ = ir.Reference(network(), np.float32).run(xs.astype(np.float32))
    assert expected.any()
    for given in (xs, np.asfortranarray(xs), {"input": xs}, (xs,), iter(xs)):
        out, state = executor.run(given)
        assert type(out) is torch.Tensor
        assert out.dtype == torch.float32
        np.testing.assert_array_equal(out.numpy(), expected)
        assert type(state["lif"][0]) is torch.Tensor
    np.testing.assert_array_equal(xs, before)
    np.testing.assert_array_equal(executor(xs[0]).numpy(), expected[0])


def test_arrays_become_what_the_parameters_are():
    xs = samples(6, 2, 3)
    executor = bridge.ir_to_torch(network()).double()
    expected, _ = ir.Reference(network(), np.float64).run(xs)
    out, _ = executor.run(xs)
    assert out.dtype == torch.float64
    np.testing.assert_array_equal(out.numpy(), expected)
    assert GraphExecutor({"a": nn.Identity()}, [])(xs[0]).dtype == torch.get_default_dtype()


def test_an_array_that_stands_still_takes_the_memory_of_one_step():
    executor = bridge.ir_to_torch(network())
    x = samples(2, 3).astype(np.float32)
    still = np.broadcast_to(x, (50, 2, 3))
    out, _ = executor.run(still)
    assert out.any()
    np.testing.assert_array_equal(out, executor.run(torch.from_numpy(still.copy()))[0])
    inputs = executor._sequence(still)["input"]
    assert (inputs.shape, inputs.stride(0)) == ((50, 2, 3), 0)
    held, _ = bridge.ir_to_torch(network(hold=50)).run(x)
    np.testing.assert_array_equal(held, out)


@pytest.mark.parametrize("dtype", [complex, object, "U3", "datetime64[s]"])
def test_arrays_of_other_things_are_refused(dtype):
    executor = bridge.ir_to_torch(network())
    with pytest.raises(ir.InputError, match="real numbers"):
        executor.run(np.zeros((6, 2, 3)).astype(dtype))


# Tables ----------------------------------------------------------------------------------------


def test_an_executor_shows_its_graph():
    graph = network(name="<b>lif")
    executor = bridge.ir_to_torch(graph)
    assert executor._repr_html_() == graph._repr_html_()
    assert "<b>lif" in Cells(executor._repr_html_()).cells
    own = GraphExecutor({"<i>": nn.Linear(3, 2), "out": nn.Identity()}, [("<i>", "out")])
    assert Cells(own._repr_html_()).cells == [
        "GraphExecutor: 2 nodes, 1 edges",
        *("node", "module", "from"),
        *("<i>", "Linear", ""),
        *("out", "Identity", "<i>"),
    ]


def test_a_loop_of_modules_shows_what_runs_back():
    neuron = bridge.LIFModule(*np.full((4, 1), 2.0))
    modules = {"in": nn.Identity(), "lif": neuron, "out": nn.Identity()}
    executor = GraphExecutor(modules, [("in", "lif"), ("lif", "lif"), ("lif", "out")])
    assert "in, lif (t-1)" in Cells(executor._repr_html_()).cells


def test_what_an_executor_explains_is_a_table():
    executor = bridge.ir_to_torch(network())
    assert Cells(executor.explain()._repr_html_()).cells[0] == "not run yet"
    executor.run(samples(6, 2, 3))
    cells = Cells(executor.explain()._repr_html_()).cells
    assert cells[0] == "chunks of 6 steps"
    assert cells[1:6] == ["nodes", "how", "density", "crossing", "why"]


def test_what_verify_found_is_a_table():
    a, b = network(), network()
    b.nodes["lif"].v_threshold = b.nodes["lif"].v_threshold * 2
    report = bridge.verify(a, b, samples(6, 2, 3))
    cells = Cells(report._repr_html_()).cells
    assert cells[0] == "a and b DIFFER: 6 steps, batch 2, float64"
    told = dict(zip(cells[1::2], cells[2::2], strict=True))
    assert told["cause"] == report.causes[0].text
    assert told["part at"].startswith(f"step {report.parting.step}, node 'lif'")
    # Nothing that the text says is missing.
    words = " ".join(cells).split()
    assert words == str(report).split()


# Names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [ir, bridge, t1c.nir, sdk])
def test_completion_offers_the_interface_alone(module):
    assert dir(module) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_without_torch_the_bridge_says_what_to_install(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch')")
    done = subprocess.run(
        [sys.executable, "-c", "from t1c import ir\nfrom t1c import bridge"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: t1c.bridge runs graphs in PyTorch")
    assert "pip install 't1c[torch]'" in last
