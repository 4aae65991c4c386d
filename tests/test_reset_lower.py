"""reset='lower' takes off v_threshold - v_reset: what it means, where it runs, how it travels."""

import shutil
import subprocess

import numpy as np
import pytest
import torch

from t1c import bridge, deploy, ir, sdk

from .test_reset_options import graph_of, lif, run


def lower(v_reset=0.25, **options):
    return lif(reset="lower", v_reset=[v_reset], **options)


def test_a_membrane_at_its_threshold_comes_to_v_reset_and_keeps_what_it_had_above():
    # u = 1, s = 1, v = 1 - 0.75; u = 0.125 + 1.875 = 2, v = 1.25; u = 0.625, s = 0
    assert run(lower(), [1, 1.875, 0]) == ([1, 1, 0], [0.25, 1.25, 0.625])


def test_delayed_it_comes_after_the_next_decay():
    # u = 1; u = 0.5 + 1.5 - 0.75 = 1.25 fires; u = 0.625 - 0.75 = -0.125
    assert run(lower(reset_delay=True), [1, 1.5, 0]) == ([1, 1, 0], [1, 1.25, -0.125])


def test_several_spikes_take_off_as_many_distances():
    # u = 3.5, s = 3, v = 3.5 - 3 * 0.75
    assert run(lower(spikes="multiple"), [3.5, 0]) == ([3, 0], [1.25, 0.625])


def test_with_v_reset_0_it_is_a_subtraction():
    inputs = [0.75, 1.5, 2, 0.25, 3.25, 0, 0]
    assert run(lower(0.0), inputs) == run(lif(reset="subtract"), inputs)
    assert run(lower(0.5), inputs) != run(lif(reset="subtract"), inputs)


def test_what_it_takes_off_is_folded_in_float64():
    """In float32 the difference of the cast parameters is another number."""
    node = lif(reset="lower", v_reset=[0.7]).replace(v_threshold=np.array([1.1]))
    once, twice = np.float32(1.1 - 0.7), np.float32(1.1) - np.float32(0.7)
    assert once != twice
    xs = np.full((1, 1, 1), 2.0, np.float32)
    for v in (
        ir.Reference(graph_of(node), np.float32).run(xs)[1]["n"][0].item(),
        bridge.ir_to_torch(graph_of(node)).run(torch.from_numpy(xs))[1]["n"][0].item(),
    ):
        assert np.float32(v) == np.float32(2) - once


def test_it_needs_a_value_and_others_refuse_it():
    with pytest.raises(ir.NodeError, match="a value, because reset='lower'"):
        lif(reset="lower")
    with pytest.raises(ir.NodeError, match="or reset='lower' to subtract v_threshold - v_reset"):
        lif(reset="subtract", v_reset=[0.25])


def test_a_reader_of_the_format_before_refuses_the_file(tmp_path, monkeypatch):
    ir.write(tmp_path / "a.t1c", graph_of(lower()))
    assert ir.read(tmp_path / "a.t1c").equals(graph_of(lower()))
    assert ir.read_version(tmp_path / "a.t1c") == "0.3.0"
    for place in ("t1c.ir.hdf5", "t1c.ir.hdf5_read"):
        monkeypatch.setattr(f"{place}.FORMAT_VERSION", "0.2.0")
    with pytest.raises(ir.VersionError, match=r"0\.3\.0"):
        ir.read(tmp_path / "a.t1c")


def test_v_reset_learns_what_finite_differences_say():
    """Without a surrogate's help: the membrane after a spike depends on v_reset directly."""
    xs = torch.tensor([1.5, 0.25, 0.5], dtype=torch.float64).reshape(3, 1, 1)

    def membrane(v_reset):
        return bridge.ir_to_torch(graph_of(lower(v_reset)), dtype=torch.float64).run(xs)[1]["n"][0]

    for kernels in (None, "torch"):
        executor = bridge.ir_to_torch(
            graph_of(lower()), dtype=torch.float64, kernels=kernels, learn=("v_reset",)
        )
        _, state = executor.run(xs)
        state["n"][0].sum().backward()
        (grad,) = (p.grad for p in executor.parameters())
        step = 2.0**-20
        wanted = (membrane(0.25 + step) - membrane(0.25 - step)) / (2 * step)
        assert grad.item() == pytest.approx(wanted.item())
        assert grad.item() == 0.25


@pytest.mark.parametrize("delay", [False, True])
def test_it_leaves_the_house_as_it_is(delay, tmp_path):
    """As a model of ONNX, as C, and as integers: spikes as in the reference."""
    onnxruntime = pytest.importorskip("onnxruntime")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: install gcc")
    graph = graph_of(lower(reset_delay=delay))
    xs = np.random.default_rng(1).integers(0, 7, (14, 1, 1)).astype(np.float32) / 4
    expected, _ = ir.Reference(graph, np.float32).run(xs)
    other, _ = ir.Reference(graph_of(lif(reset="subtract", reset_delay=delay)), np.float32).run(xs)
    assert (expected != other).any()

    deploy.to_onnx(graph, tmp_path / "step.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "step.onnx")
    names = [output.name for output in session.get_outputs()]
    (entry,) = (i.name for i in session.get_inputs() if not i.name.startswith("state/"))
    state, sent = {}, []
    for x in xs:
        found = dict(zip(names, session.run(None, {entry: x, **state}), strict=True))
        state = {f"state/{n[5:]}": v for n, v in found.items() if n.startswith("next/")}
        sent += [v for n, v in found.items() if not n.startswith("next/")]
    np.testing.assert_array_equal(np.stack(sent), expected)

    report = deploy.to_c(graph, tmp_path / "c")
    sources = [str(tmp_path / "c" / name) for name in ("main.c", f"{report.name}.c")]
    program = str(tmp_path / "c" / "program")
    flags = ["-std=c99", "-ffp-contract=off", *(["-lm"] if report.needs_libm else [])]
    subprocess.run([compiler, "-o", program, *sources, *flags], check=True)
    ran = subprocess.run([program, "-b"], input=xs.tobytes(), capture_output=True, check=True)
    np.testing.assert_array_equal(np.frombuffer(ran.stdout, np.float32), expected.ravel())

    whole = sdk.quantize(graph, calibrate=xs)
    found = ir.Reference(whole, np.float64).run(xs.astype(np.float64))[0]
    np.testing.assert_array_equal(found, expected)
