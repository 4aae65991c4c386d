"""Graphs as programs of torch.export: every primitive and topology, and nothing of t1c in them."""

import io
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from t1c import bridge, deploy, ir
from t1c.deploy.exported.api import steps_of
from t1c.deploy.exported.capture import in_core, refuse_foreign
from t1c.deploy.exported.capture import traced as in_torch
from t1c.deploy.exported.ports import ports_of

from .exported_examples import INPUTS, branches, everything, small

pytestmark = pytest.mark.usefixtures("one_thread")
RNG = np.random.default_rng(3)
WORKER = Path(__file__).with_name("exported_worker.py")


def drawn(*shape):
    return (RNG.integers(-256, 257, shape) / 256).astype(np.float32)


def load(path):
    """The program, its note, and its state at rest for a batch."""
    note = {"t1c.json": ""}
    program = torch.export.load(path, extra_files=note)
    (_, state), _ = program.example_inputs

    def rest(batch):
        return {n: v[:1].expand(batch, *v.shape[1:]).contiguous() for n, v in state.items()}

    return program, json.loads(note["t1c.json"]), rest


def same_state(found, expected):
    """Whether states by variable are those of the reference by node, bit for bit."""
    flat = [v for own in expected.values() for v in own]
    assert len(found) == len(flat) > 0
    for a, b in zip(found.values(), flat, strict=True):
        assert np.array_equal(np.asarray(a), b)


# Every primitive -----------------------------------------------------------------------------


OURS = {n for n in ir.list_primitives() if ir.str_to_node(n).__module__.startswith("t1c.ir.")}


# One test of all: a second worker would export and load the program anew.
@pytest.mark.slow
def test_every_primitive_is_exported_and_computes_the_same(tmp_path):
    graph, kinds = branches()
    path = tmp_path / "all.pt2"
    deploy.to_exported(graph, path)
    program, _, rest = load(path)
    T, B = 16, 3
    xs = {name: drawn(T, B, *shape) for name, shape in INPUTS.items()}
    expected, _ = ir.Reference(graph, np.float32).run(xs)
    call, state, outputs = program.module(), rest(B), []
    for t in range(T):
        output, state = call({n: torch.from_numpy(x[t]) for n, x in xs.items()}, state)
        outputs.append(output)
    # Of inputs and outputs there are many.
    assert {primitive for primitive, _ in kinds.values()} == OURS - {"Input", "Output"}
    for name, (_, exact) in kinds.items():
        ours, reference = np.stack([o[f"{name}."].numpy() for o in outputs]), expected[f"{name}."]
        assert len(np.unique(reference)) > 1, name
        if exact:
            assert np.array_equal(ours, reference), name
        else:
            np.testing.assert_allclose(ours, reference, rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_primitive_that_nobody_has_a_module_for_is_refused_by_name(tmp_path):
    nodes = {"in": ir.Input((3,)), "odd one": Unknown(), "out": ir.Output((3,))}
    graph = ir.Graph(nodes, [("in", "odd one"), ("odd one", "out")])
    with pytest.raises(ir.UnsupportedError, match=r"'odd one'.*no module runs a Unknown"):
        deploy.to_exported(graph, tmp_path / "odd.pt2")
    assert list(tmp_path.iterdir()) == []


class Unknown(ir.Node):
    """A node of a user's, of which only numpy knows."""

    def output_shape(self, shape):
        return shape

    def step(self, x, state):
        return x, state


def test_a_program_that_needs_t1c_is_refused():
    executor = bridge.ir_to_torch(small(), trainable=False)
    program = in_torch(executor, (torch.zeros(2, 6),), None)
    with pytest.raises(ir.UnsupportedError, match=r"t1c\.scan.*torch's core"):
        in_core(program)
    with torch.no_grad():
        refuse_foreign(torch.export.export(nn.ReLU(), (torch.zeros(2),)))


# Where t1c is not installed ------------------------------------------------------------------


def stranger(what, folder):
    done = subprocess.run(
        [sys.executable, "-I", str(WORKER), what, str(folder)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "no t1c: True"


@pytest.fixture(scope="module")
def abroad(tmp_path_factory):
    """A folder with both programs of a graph that holds every topology, and what goes in."""
    folder = tmp_path_factory.mktemp("abroad")
    graph = everything()
    reports = [
        deploy.to_exported(graph, folder / "step.pt2"),
        deploy.to_exported(graph, folder / "sequence.pt2", step=False),
    ]
    xs = {"x": (RNG.random((210, 5, 2, 6, 6)) < 0.3).astype(np.float32), "still": drawn(5, 8)}
    np.savez(folder / "xs.npz", **xs)
    return folder, graph, xs, reports


@pytest.mark.slow
def test_it_runs_bit_for_bit_where_t1c_is_not_installed(abroad):
    folder, graph, xs, _ = abroad
    stranger("run", folder)
    expected, state = ir.Reference(graph, np.float32).run(xs, collect="stack")
    fired = expected["spikes"]
    assert fired.shape == (210, 5, 8)
    assert 0 < fired[1:].sum() < fired[1:].size
    assert len(np.unique(expected["so far"])) > 100
    step = dict(np.load(folder / "step.npz"))
    for name, value in expected.items():
        assert np.array_equal(step[name], value), name
    sequence = dict(np.load(folder / "sequence.npz"))
    assert np.array_equal(sequence["spikes"], fired)
    assert np.array_equal(sequence["so far"], expected["so far"][-1])
    for found in (step, sequence):
        same_state({n: v for n, v in found.items() if n.startswith("state ")}, state)


@pytest.mark.slow
def test_the_file_says_what_goes_in_and_out(abroad):
    folder, _, _, reports = abroad
    for report, file in zip(reports, ("step.pt2", "sequence.pt2"), strict=True):
        program, note, rest = load(folder / file)
        time = [] if report.kind == "step" else ["T"]
        assert note["kind"] == report.kind
        assert note["inputs"] == [
            {"name": "x", "shape": [*time, "B", 2, 6, 6]}, {"name": "still", "shape": ["B", 8]},
        ]  # fmt: skip
        assert {p["name"]: p["shape"] for p in note["outputs"]} == {
            "spikes": [*time, "B", 8], "so far": ["B", 8],
        }  # fmt: skip
        assert (
            [p["name"] for p in note["states"]] == list(rest(1)) == [s.name for s in report.states]
        )
        for port in note["states"]:
            given = np.broadcast_to(np.float32(port["rest"]), port["shape"][1:])
            assert np.array_equal(rest(1)[port["name"]][0].numpy(), given)
        assert {"層/v.line", "rec.sent", "best.best"} <= {p["name"] for p in note["states"]}
        names = [spec.arg.name for spec in program.graph_signature.input_specs]
        assert "state_rec_sent" in names
        assert report.bytes == (folder / file).stat().st_size
        assert not any("File" in str(n.meta.get("stack_trace")) for n in program.graph.nodes)


@pytest.mark.slow
def test_held_inputs_alone_are_held_for_as_long_as_they_say(tmp_path):
    graph = small(hold=6)
    assert steps_of(ports_of(graph, np.dtype("float32")), False, 9) == 9
    x = drawn(4, 6)
    deploy.to_exported(graph, tmp_path / "held.pt2", step=False)
    program, _, rest = load(tmp_path / "held.pt2")
    ys, _ = program.module()(torch.from_numpy(x), rest(4))
    expected, _ = ir.Reference(graph, np.float32).run(x)
    assert ys.shape == (6, 4, 5)
    assert 0 < expected.sum() < expected.size
    assert np.array_equal(ys.numpy(), expected)


def test_options_that_mean_nothing_are_refused(tmp_path):
    with pytest.raises(ir.InputError, match=r"suffix '\.onnx'"):
        deploy.to_exported(small(), tmp_path / "model.onnx")
    with pytest.raises(ir.InputError, match="steps=3 for one step"):
        deploy.to_exported(small(hold=2), tmp_path / "m.pt2", steps=3)
    with pytest.raises(ir.InputError, match="steps=3 for a sequence of any length"):
        deploy.to_exported(small(), tmp_path / "m.pt2", step=False, steps=3)
    with pytest.raises(ir.InputError, match="'int8'"):
        deploy.to_exported(small(), tmp_path / "m.pt2", dtype="int8")
    assert list(tmp_path.iterdir()) == []


def test_float64_is_the_meaning(tmp_path):
    graph, x = small(), drawn(7, 3, 6).astype(np.float64) / 3
    deploy.to_exported(graph, tmp_path / "m.pt2", dtype="float64")
    program, _, state = load(tmp_path / "m.pt2")
    call, own = program.module(), state(3)
    expected, after = ir.Reference(graph).run(x)
    for t in range(7):
        y, own = call(torch.from_numpy(x[t]), own)
        assert np.array_equal(y.numpy(), expected[t])
    assert expected.any()
    for a, b in zip(own.values(), (v for o in after.values() for v in o), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, atol=1e-15)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs g++")
def test_aotinductor_compiles_it(tmp_path):
    graph = small(name="x", several=True)
    deploy.to_exported(graph, tmp_path / "step.pt2")
    xs = {"x": drawn(200, 3, 6), "other": drawn(3, 5)}
    np.savez(tmp_path / "xs.npz", **xs)
    stranger("compile", tmp_path)
    xs["other"] = np.stack([xs["other"]] * 200)
    expected, state = ir.Reference(graph, np.float32).run(xs)
    found = dict(np.load(tmp_path / "compiled.npz"))
    for name, value in expected.items():
        assert 0 < value[1:].sum() < value[1:].size
        assert np.array_equal(found[name], value)
    same_state({n: v for n, v in found.items() if n.startswith("state ")}, state)


# What else captures an executor ----------------------------------------------------------------


def answers(executor, xs):
    """Valid calls: steps, and a sequence."""
    with torch.no_grad():
        run, state = executor.run(xs)
        return [*(executor(x) for x in xs[:3]), run, *(v for own in state.values() for v in own)]


def scripted(executor, x):
    return torch.jit.script(executor)


def scripted_within(executor, x):
    return torch.jit.script(nn.Sequential(executor))


def traced(executor, x):
    with torch.no_grad():
        return torch.jit.trace(executor, (x,))


def traced_with_gradients(executor, x):
    return torch.jit.trace(executor, (x,))


def looked_at(executor, x):
    return make_fx(executor)(x)


def exported(executor, x):
    return torch.export.export(executor, (x,)).module()


REFUSED = {
    scripted: "torch.jit.script cannot.*to_exported",
    scripted_within: "torch.jit.script cannot.*to_exported",
    traced_with_gradients: "torch.jit.trace with gradients.*to_exported",
}


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("fresh", [True, False])
def test_what_captures_an_executor_works_or_says_what_to_use_and_harms_nothing(fresh):
    xs = torch.from_numpy(drawn(12, 3, 6))
    graph = small()
    before = answers(bridge.ir_to_torch(graph), xs)
    assert 0 < before[3].sum() < before[3].numel()
    executor = bridge.ir_to_torch(graph)
    if not fresh:
        answers(executor, xs)
    attempts = (scripted, traced, looked_at, traced_with_gradients, exported, scripted_within)
    for attempt in (*attempts, exported):
        if attempt in REFUSED:
            with pytest.raises(ir.UnsupportedError, match=REFUSED[attempt]) as caught:
                attempt(executor, xs[1])
            assert "\n" not in str(caught.value)
        else:
            assert torch.equal(attempt(executor, xs[1])(xs[1]), before[1])
        for a, b in zip(answers(executor, xs), before, strict=True):
            assert torch.equal(a, b), attempt.__name__


def test_a_trace_can_be_saved_and_takes_another_batch():
    xs = torch.from_numpy(drawn(2, 7, 6))
    executor = bridge.ir_to_torch(small(name="x"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace, file = traced(executor, xs[0, :2]), io.BytesIO()
        torch.jit.save(trace, file)
        file.seek(0)
        again = torch.jit.load(file)
    assert executor(xs[1]).any()
    assert torch.equal(again(xs[1]), executor(xs[1]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_torch_onnx_exports_an_executor():
    pytest.importorskip("onnxscript", reason="torch.onnx.export needs onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime", reason="what is exported needs onnxruntime")
    xs = torch.from_numpy(drawn(9, 3, 6))
    executor = bridge.ir_to_torch(small())
    before = answers(executor, xs)
    made = torch.onnx.export(
        executor, (xs[0],), dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )  # fmt: skip
    session = onnxruntime.InferenceSession(made.model_proto.SerializeToString())
    flat = xs.reshape(27, 6)
    (found,) = session.run(None, {session.get_inputs()[0].name: flat.numpy()})
    assert found.any()
    assert np.array_equal(found, executor(flat).detach().numpy())
    for a, b in zip(answers(executor, xs), before, strict=True):
        assert torch.equal(a, b)


def test_deploy_is_imported_without_torch():
    code = "import sys, t1c.deploy; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
