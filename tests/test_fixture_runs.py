"""The files of the format's first implementations run, stepwise and whole, as they must."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from t1c import bridge, ir

DATA = Path(__file__).parent / "data"

# Refused when they are read; what the refusal says is tested with the file format.
REFUSED = {
    "net_dup_edges",
    "net_passthrough_two",
    "odd_dangling_edge",
    "odd_name_abs",
    "odd_name_slash",
    "odd_tensor_weight",
    "prim_softmax_dim0_chw",
}
NESTED = {"odd_nested_graph"}
WITHOUT_RESULTS = {"odd_numpy_stride", "odd_padding_same"}
T1CIR = sorted(
    path
    for path in (DATA / "t1cir").glob("*.t1c")
    if path.stem not in REFUSED | NESTED | WITHOUT_RESULTS
)
TALONIR = [
    DATA / "talonir" / f"{name}.t1c"
    for name in ("net_graph_partitioned", "net_stamped", "talon_hwfields")
]


def recorded(path):
    """Input, outputs by Output name, and states by node, as the fixtures' index reads them."""
    with np.load(path.with_name(path.stem.removeprefix("gen2_") + ".npz")) as file:
        arrays = dict(file)
    graph = ir.read(path)
    xs = {k.removeprefix("x/"): torch.from_numpy(v) for k, v in arrays.items() if k[:2] == "x/"}
    right = {k.removeprefix("expected/"): v for k, v in arrays.items() if k[:9] == "expected/"}
    right = right or arrays
    names = list(graph.outputs())
    if len(names) == 1:
        (out,) = (v for k, v in right.items() if k in ("out", "out_stepwise_with_feedback"))
        outputs = {names[0]: out}
    else:
        outputs = {name: right[name] for name in names}
    states = {}
    for key, value in right.items():
        if key.startswith("state/"):
            _, node, i = key.split("/")
            states[node, int(i)] = value
    return graph, xs or torch.from_numpy(arrays["x"]), outputs, states


def by_name(outputs, graph):
    names = list(graph.outputs())
    return outputs if len(names) > 1 else {names[0]: outputs}


def at(xs, t):
    return {name: x[t] for name, x in xs.items()} if isinstance(xs, dict) else xs[t]


def assert_as_recorded(outputs, state, expected, states):
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        assert outputs[name].shape == value.shape
        np.testing.assert_allclose(outputs[name].numpy(), value, rtol=2e-6, atol=2e-6, err_msg=name)
    assert set(state) == {node for node, _ in states}
    for (node, i), value in states.items():
        np.testing.assert_allclose(
            state[node][i].numpy(), value, rtol=2e-6, atol=2e-6, err_msg=node
        )


def test_the_fixtures_are_all_there():
    assert len(T1CIR) == 77
    present = {path.stem for path in (DATA / "t1cir").glob("*.t1c")}
    assert present >= REFUSED | NESTED | WITHOUT_RESULTS
    assert all(path.exists() for path in TALONIR)


@pytest.mark.parametrize("path", [*T1CIR, *TALONIR], ids=lambda path: path.stem)
@torch.no_grad()
def test_stepping_and_running_give_the_recorded_results(path):
    graph, xs, expected, states = recorded(path)
    executor = bridge.ir_to_torch(path, return_state=True)
    state: dict[str, Any] = {}
    steps = []
    for t in range(8):
        out, state = executor(at(xs, t), state)
        steps.append(by_name(out, graph))
    stepped = {name: torch.stack([step[name] for step in steps]) for name in steps[0]}
    assert_as_recorded(stepped, state, expected, states)

    whole, final = executor.run(xs)
    assert_as_recorded(by_name(whole, graph), final, expected, states)


@pytest.mark.parametrize("name", ["net_cyclic", "net_cyclic_lif_affine"])
@torch.no_grad()
def test_cyclic_executor_gives_what_the_first_one_gave_on_a_constant_input(name):
    graph = ir.read(DATA / "t1cir" / f"{name}.t1c")
    with np.load(DATA / "t1cir" / f"{name}.npz") as file:
        x, out, v = file["x"][0], file["out_const_x0"], file["state_const_x0/lif/0"]
    executor = bridge.CyclicGraphExecutor(
        bridge.from_ir(graph), graph.edges, timesteps=8, return_state=True
    )
    outputs, state = executor(torch.from_numpy(x))
    assert len(outputs) == 8
    np.testing.assert_allclose(torch.stack(outputs).numpy(), out, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(state["lif"][0].numpy(), v, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", sorted(WITHOUT_RESULTS))
@torch.no_grad()
def test_files_that_the_first_executor_could_not_run_agree_with_the_reference(name):
    graph = ir.read(DATA / "t1cir" / f"{name}.t1c")
    (shape,) = (node.shape for node in graph.inputs().values())
    xs = np.random.default_rng(0).standard_normal((3, 2, *shape)).astype(np.float32)
    expected, _ = ir.Reference(graph).run(xs)
    out, _ = bridge.ir_to_torch(graph).run(torch.from_numpy(xs))
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(out.numpy(), expected, rtol=2e-6, atol=2e-6)


def test_a_nested_graph_runs_as_if_its_nodes_stood_outside():
    (name,) = NESTED
    graph = ir.read(DATA / "t1cir" / f"{name}.t1c")
    (nested,) = (n for n, node in graph.nodes.items() if isinstance(node, ir.Graph))
    executor = bridge.load(DATA / "t1cir" / f"{name}.t1c")
    fc = graph.nodes[nested].nodes["fc"]
    x = torch.randn(2, *graph.nodes["input"].shape)
    expected = torch.nn.functional.linear(x, torch.tensor(fc.weight), torch.tensor(fc.bias))
    torch.testing.assert_close(executor(x), expected)
    assert f"{nested}/fc" in bridge.from_ir(graph)
