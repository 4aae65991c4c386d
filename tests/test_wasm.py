"""Graphs as WebAssembly in Node.js: the numbers of the reference, bit for bit."""

import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import t1c.ir
from t1c import deploy, sdk
from t1c.ir.errors import InputError, UnsupportedError

from .engine_helpers import lif
from .strategies_executor import chain

ROOT = Path(__file__).parent.parent
RUNNER = Path(__file__).parent / "wasm_steps.mjs"
# Tests look into nodes whose types they know: seen through this, all are Any.
ir: Any = t1c.ir
T = 24


@pytest.fixture
def tools():
    """What compiles and runs modules, or the test is skipped with a message."""
    for tool in ("clang", "wasm-ld", "node"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: nothing is compiled to WebAssembly and run")


def grid(rng, *shape):
    return rng.integers(-96, 160, shape) / 256


def two_ways():
    """Two inputs and two outputs, feedback through a delay, and an accumulated answer."""
    rng = np.random.default_rng(0)
    one = np.ones(6)
    nodes = {
        "left": ir.Input((3,)),
        "right": ir.Input((2, 2)),
        "flat": ir.Flatten(),
        "a": ir.Affine(grid(rng, 6, 3), grid(rng, 6)),
        "b": ir.Affine(grid(rng, 6, 4), grid(rng, 6)),
        "lif": ir.LIF(2 * one, one, 0 * one, 0.5 * one, reset="subtract"),
        "late": ir.Delay(np.array([1, 2, 3, 1, 2, 3])),
        "back": ir.Affine(grid(rng, 6, 6) / 4, grid(rng, 6) / 4),
        "mean": ir.Accumulate("mean"),
        "spikes": ir.Output((6,)),
        "rates": ir.Output((6,)),
    }
    edges = [
        ("left", "a"),
        ("right", "flat"),
        ("flat", "b"),
        ("a", "lif"),
        ("b", "lif"),
        ("lif", "late"),
        ("late", "back"),
        ("back", "lif"),
        ("lif", "spikes"),
        ("lif", "mean"),
        ("mean", "rates"),
    ]
    return ir.Graph(nodes, edges, allow_cycles=True)


def run(graph, folder, numbers="float32"):
    """(what the module gives, what the reference gives), one row for each step."""
    report = deploy.to_wasm(graph, folder / "model.wasm", numbers)
    rng = np.random.default_rng(1)
    xs = {
        name: (rng.integers(-64, 256, (T, 1, *node.shape)) / 256).astype(np.float32)
        for name, node in graph.inputs().items()
    }
    given = np.concatenate([x.reshape(T, -1) for x in xs.values()], axis=1)
    sizes = [
        ",".join(str(math.prod(port.shape)) for port in ports)
        for ports in (report.inputs, report.outputs)
    ]
    ran = subprocess.run(
        ["node", RUNNER, folder / "model.wasm", *sizes],
        input=given.tobytes(),
        capture_output=True,
        check=True,
    )
    found, _ = ir.Reference(graph, np.float32).run(xs, collect="stack")
    outputs = found.values() if isinstance(found, dict) else [found]
    expected = np.concatenate([y.reshape(T, -1) for y in outputs], axis=1)
    return np.frombuffer(ran.stdout, np.float32).reshape(T, -1), expected


def test_every_number_is_that_of_the_reference(tools, tmp_path):
    found, expected = run(two_ways(), tmp_path)
    assert 20 < np.count_nonzero(expected[:, :6]) < T * 6
    np.testing.assert_array_equal(found, expected)


def test_integers_too(tools, tmp_path):
    graph = chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(np.full((4, 4), 0.25), np.zeros(4))),
        ("lif", lif()),
        ("output", ir.Output((4,))),
    )
    small = sdk.quantize(graph, inputs=(-0.25, 1.0))
    found, expected = run(small, tmp_path, "int8")
    assert 5 < np.count_nonzero(expected) < expected.size
    np.testing.assert_array_equal(found, expected)


def test_the_page_says_how_it_is_called(tools, tmp_path):
    deploy.to_wasm(ROOT / "examples" / "digits.t1c", tmp_path / "model.wasm")
    (example,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "wasm.md").read_text(), re.DOTALL)
    (tmp_path / "example.mjs").write_text(example)
    ran = subprocess.run(
        ["node", "example.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = np.loadtxt(ran.stdout.splitlines())
    graph = ir.read(ROOT / "examples" / "digits.t1c")
    expected, _ = ir.Reference(graph, np.float32).run(np.full((16, 1, 1, 8, 8), 0.5))
    assert expected.any()
    np.testing.assert_array_equal(found, expected[:, 0])


def test_what_takes_a_library_is_refused_by_name(tmp_path):
    nodes = ("input", ir.Input((4,))), ("bent", ir.GELU(4, False)), ("output", ir.Output((4,)))
    with pytest.raises(UnsupportedError, match=r"'bent'.*erf"):
        deploy.to_wasm(chain(*nodes), tmp_path / "model.wasm")
    assert not list(tmp_path.iterdir())


def test_without_a_compiler_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(UnsupportedError, match="apt install clang lld"):
        deploy.to_wasm(two_ways(), tmp_path / "model.wasm")
    with pytest.raises(InputError, match=r"\.wasm"):
        deploy.to_wasm(two_ways(), tmp_path / "model.js")
