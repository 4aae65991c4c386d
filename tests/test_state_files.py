"""States in files: a stream goes on in another process, and never in another network."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from t1c import ir
from t1c.bridge import GraphExecutor, ir_to_torch, load_state, save_state
from t1c.ir.errors import InputError, UnsupportedError

N = 4


def numbers(*shape, seed=0, low=-99):
    return (np.random.default_rng(seed).integers(low, 99, shape) / 256).astype(np.float32)


def graph(weight=None, name="fc"):
    """A loop with a synapse, a Delay and a nested neuron, on the grid."""
    inner = ir.Graph(
        {
            "in": ir.Input((N,)),
            "sum": ir.Accumulate("max"),
            "out": ir.Output((N,)),
        },
        [("in", "sum"), ("sum", "out")],
    )
    nodes = {
        "input": ir.Input((N,)),
        name: ir.Affine(numbers(N, N) if weight is None else weight, numbers(N, seed=1, low=0)),
        "lif": ir.CubaLIF(*(np.array([v], np.float32) for v in (2.0, 2.0, 2.0, 0.0, 0.5))),
        "delay": ir.Delay(np.array(2)),
        "most": inner,
        "output": ir.Output((N,)),
    }
    edges = [
        *[("input", name), (name, "lif"), ("lif", "delay"), ("delay", name)],
        *[("lif", "most"), ("most", "output")],
    ]
    return ir.Graph(nodes, edges, allow_cycles=True)


def inputs(steps=40):
    return torch.from_numpy(numbers(steps, 2, N, seed=2, low=0))


OTHER = """
import sys, numpy, torch
from t1c.bridge import load, load_state
executor = load(sys.argv[1])
state = load_state(sys.argv[2], executor)
with torch.no_grad():
    found, _ = executor.run(torch.from_numpy(numpy.load(sys.argv[3])), state)
numpy.save(sys.argv[4], found.numpy())
"""


@pytest.mark.slow
def test_a_stream_goes_on_in_another_process(tmp_path):
    ir.write(tmp_path / "a.t1c", graph())
    executor, xs = ir_to_torch(graph(), trainable=False), inputs()
    whole, _ = executor.run(xs)
    _, state = executor.run(xs[:17])
    save_state(tmp_path / "state.npz", executor, state)
    np.save(tmp_path / "rest.npy", xs[17:].numpy())
    files = [str(tmp_path / name) for name in ("a.t1c", "state.npz", "rest.npy", "found.npy")]
    subprocess.run([sys.executable, "-c", OTHER, *files], check=True, timeout=300)
    found = np.load(files[-1])
    assert np.array_equal(found, whole[17:].numpy())
    # It matters where it goes on: from rest other spikes follow.
    assert not np.array_equal(found, executor.run(xs[17:])[0].numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_bit_survives(tmp_path, dtype):
    executor = ir_to_torch(graph(), dtype=dtype)
    _, state = executor.run(inputs(5).to(dtype))
    save_state(tmp_path / "state.npz", executor, state)
    found = load_state(tmp_path / "state.npz", executor)
    assert list(found) == list(state)
    assert sum(len(own) for own in found.values()) >= 4
    for name, own in state.items():
        for mine, theirs in zip(own, found[name], strict=True):
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
            assert torch.equal(mine, theirs)
    assert any(v.any() for own in found.values() for v in own)


def test_the_state_of_rest_is_a_state(tmp_path):
    executor = ir_to_torch(graph())
    save_state(tmp_path / "state.npz", executor, {})
    assert load_state(tmp_path / "state.npz", executor) == {}


def test_another_graph_refuses_it(tmp_path):
    executor = ir_to_torch(graph())
    _, state = executor.run(inputs(5))
    save_state(tmp_path / "state.npz", executor, state)
    trained = ir_to_torch(graph(numbers(N, N, seed=9)))
    with pytest.raises(InputError, match="pass weights=False"):
        load_state(tmp_path / "state.npz", trained)
    assert load_state(tmp_path / "state.npz", trained, weights=False).keys() == state.keys()
    other = ir_to_torch(graph(name="layer"))
    for weights in (True, False):
        with pytest.raises(InputError, match="the network that it was saved from"):
            load_state(tmp_path / "state.npz", other, weights=weights)


def test_parameters_as_they_are_now_count(tmp_path):
    executor = ir_to_torch(graph())
    _, state = executor.run(inputs(5))
    save_state(tmp_path / "before.npz", executor, state)
    with torch.no_grad():
        executor.node("fc").weight[0, 0] += 1
    with pytest.raises(InputError, match="weights=False"):
        load_state(tmp_path / "before.npz", executor)
    save_state(tmp_path / "after.npz", executor, state)
    assert load_state(tmp_path / "after.npz", executor).keys() == state.keys()


def test_nodes_of_a_users_map_count_as_the_nodes_they_were(tmp_path):
    class Leaky(nn.Module):
        def forward(self, x, v=None):
            v = x if v is None else 0.5 * v + x
            return v, v

    simple = ir.Graph(
        {
            "input": ir.Input((N,)),
            "lif": ir.LIF(*(np.array([v], np.float32) for v in (2.0, 2.0, 0.0, 0.5))),
            "output": ir.Output((N,)),
        },
        [("input", "lif"), ("lif", "output")],
    )
    executor = ir_to_torch(simple, {ir.LIF: lambda node: Leaky()})
    _, state = executor.run(inputs(3))
    save_state(tmp_path / "state.npz", executor, state)
    found = load_state(tmp_path / "state.npz", executor)
    assert torch.equal(found["lif"][0], state["lif"][0])


def test_what_is_no_state_is_refused(tmp_path):
    executor = ir_to_torch(graph())
    _, state = executor.run(inputs(5))
    with pytest.raises(InputError, match="there is no such node"):
        save_state(tmp_path / "state.npz", executor, {"nobody": (torch.zeros(1),)})
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        load_state(tmp_path / "state.npz", executor)
    np.savez(tmp_path / "samples.npz", x=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("samples.npz", "array.npy", "text.npz"):
        with pytest.raises(InputError, match="state"):
            load_state(tmp_path / name, executor)
    by_hand = GraphExecutor({"fc": nn.Linear(2, 2)}, [])
    with pytest.raises(UnsupportedError, match="made of modules"):
        save_state(tmp_path / "state.npz", by_hand, {})
    save_state(tmp_path / "state.npz", executor, state)
    whole = (tmp_path / "state.npz").read_bytes()
    refused = 0
    for at in range(0, len(whole), 97):  # a flipped bit is found by the archive's checksums
        damaged = bytearray(whole)
        damaged[at] ^= 16
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            found = load_state(tmp_path / "damaged.npz", executor)
        except InputError:
            refused += 1
        else:
            assert list(found) == list(state)
            pairs = [p for n in state for p in zip(state[n], found[n], strict=True)]
            assert all(torch.equal(*pair) for pair in pairs)
    assert refused > 5


def test_what_the_file_says_of_itself_has_to_fit(tmp_path):
    executor = ir_to_torch(graph())
    _, state = executor.run(inputs(5))
    save_state(tmp_path / "state.npz", executor, state)
    with np.load(tmp_path / "state.npz") as file:
        arrays = dict(file)
    about = json.loads(arrays["about"].tobytes())
    for change in (
        {"nodes": [{"name": "lif", "dtypes": ["float64", "float64"]}]},
        {"nodes": [{"name": "lif", "dtypes": ["nn", "float32"]}]},
        {"nodes": [{"name": "lif", "dtypes": ["float32"] * 9}]},
        {"nodes": 3},
        {"format": "t1c-state-9"},
    ):
        text = json.dumps({**about, **change}).encode()
        arrays["about"] = np.frombuffer(text, np.uint8)
        np.savez(tmp_path / "changed.npz", **arrays)
        with pytest.raises(InputError):
            load_state(tmp_path / "changed.npz", executor)
    assert zipfile.is_zipfile(tmp_path / "changed.npz")
