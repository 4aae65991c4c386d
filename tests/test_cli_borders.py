"""The command line on networks whose inputs are held still and whose answer is the last step."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from t1c import ir, sdk
from t1c.cli import app

from .engine_helpers import grid, lif
from .strategies_executor import chain


def classifier(hold=6, final=True, threshold=0.25):
    rng = np.random.default_rng(0)
    return chain(
        ("input", ir.Input((3,), hold=hold)),
        ("fc", ir.Affine(grid(rng, 4, 3), grid(rng, 4))),
        ("lif", lif(threshold)),
        ("rate", ir.Accumulate("mean")),
        ("output", ir.Output((4,), final=final)),
    )


def images(count=5):
    return np.random.default_rng(1).integers(0, 257, (count, 3)) / 256


@pytest.fixture
def t1c(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ir.write("net.t1c", classifier())

    def run(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_info_shows_what_the_borders_say(t1c):
    shown = t1c("info", "net.t1c").stdout
    assert "Input (hold=6)" in shown
    assert "Output (final)" in shown
    assert "format 0.2.0" in shown
    nodes = {n["name"]: n for n in json.loads(t1c("info", "net.t1c", "--json").stdout)["nodes"]}
    assert nodes["input"]["hold"] == 6
    assert nodes["output"]["final"] is True
    assert (nodes["lif"]["hold"], nodes["lif"]["final"]) == (None, False)
    assert nodes["rate"]["state"] == 4 + 1
    assert "Input (hold=6)" in repr(ir.read("net.t1c"))
    assert "Output (final)" in ir.read("net.t1c")._repr_html_()


def test_run_holds_images_and_writes_the_answer(t1c):
    x = images()
    answer, _ = ir.Reference(classifier(), np.float32).run(x)
    assert answer.any()
    np.savez("data.npz", x=x, y=answer.argmax(1))
    result = t1c("run", "net.t1c", "data.npz", "-o", "out.npz")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "5, 6 steps each" in result.stdout
    assert "100.00%, 5 of 5 right" in result.stdout
    assert f"{answer.mean():.4g} per neuron, at the last step" in result.stdout
    with np.load("out.npz") as written:
        assert sorted(written) == ["answer", "prediction"]
        np.testing.assert_array_equal(written["answer"], answer)
        np.testing.assert_array_equal(written["prediction"], answer.argmax(1))


def test_run_takes_sequences_and_other_numbers_of_steps_all_the_same(t1c, monkeypatch):
    monkeypatch.setattr("t1c.sdk.runner.STEPS_AT_ONCE", 3)
    reference = ir.Reference(classifier(), np.float32)
    xs = np.random.default_rng(2).integers(0, 257, (7, 2, 3)) / 256
    np.savez("sequence.npz", x=xs)
    np.savez("images.npz", x=images())
    np.savez("told.npz", x=images(), steps=8)
    for arguments, expected, every in (
        (["sequence.npz"], reference.run(xs), reference.run(xs, collect="stack")),
        (
            ["images.npz", "--steps", 4],
            reference.run(images(), steps=4),
            reference.run(images(), steps=4, collect="stack"),
        ),
        (
            ["told.npz"],
            reference.run(images(), steps=8),
            reference.run(images(), steps=8, collect="stack"),
        ),
    ):
        result = t1c("run", "net.t1c", *arguments, "-o", "out.npz", "--keep-steps", "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        found = json.loads(result.stdout)
        assert found["steps"] == len(every[0])
        assert len(found["notes"]) == (arguments == ["sequence.npz"])
        assert found["mean_output"]["output"] == pytest.approx(expected[0].mean())
        with np.load("out.npz") as written:
            np.testing.assert_array_equal(written["answer"], expected[0])
            np.testing.assert_array_equal(written["out"], every[0])


def test_a_final_output_beside_an_ordinary_one():
    graph = classifier()
    graph = ir.Graph({**graph.nodes, "spikes": ir.Output((4,))}, [*graph.edges, ("lif", "spikes")])
    x = images()
    expected, _ = ir.Reference(graph, np.float32).run(x)
    samples = sdk.Samples({"input": np.broadcast_to(x, (6, *x.shape))})
    result = sdk.run(graph, samples, batch_size=2)
    np.testing.assert_array_equal(result.out_sum["spikes"], expected["spikes"].sum(0))
    np.testing.assert_array_equal(result.answer["output"], expected["output"])
    assert set(result.arrays()) == {
        "out_sum/spikes", "answer/output", "prediction/spikes", "prediction/output",
    }  # fmt: skip
    assert result.samples == 5


def test_verify_holds_images(t1c):
    np.savez("data.npz", x=images())
    ir.write("same.t1c", classifier())
    ir.write("other.t1c", classifier(threshold=1.0))
    result = t1c("verify", "net.t1c", "same.t1c", "-i", "data.npz")
    assert result.exit_code == 0
    assert result.stdout.startswith("a and b agree: 6 steps, batch 5")
    assert "all 20 equal" in result.stdout
    result = t1c("verify", "net.t1c", "other.t1c", "-i", "data.npz", "--steps", 9)
    assert result.exit_code == 1
    assert result.stdout.startswith("a and b DIFFER: 9 steps, batch 5")
    np.savez("dark.npz", x=0 * images())
    ir.write("high.t1c", classifier(threshold=1000.0))
    result = t1c("verify", "high.t1c", "high.t1c", "-i", "dark.npz")
    assert result.exit_code == 0
    assert "no neuron fires on either side" in result.stdout


def test_inputs_that_hold_for_different_times_are_asked_about(t1c):
    graph = ir.Graph(
        {"a": ir.Input((2,), hold=3), "b": ir.Input((2,), hold=4), "o": ir.Output((2,))},
        [("a", "o"), ("b", "o")],
    )
    ir.write("two.t1c", graph)
    np.savez("data.npz", **{"x/a": np.ones((1, 2)), "x/b": np.ones((1, 2))})
    result = t1c("run", "two.t1c", "data.npz")
    assert result.exit_code == 1
    assert "'a' holds for 3, 'b' holds for 4" in result.stderr
    assert t1c("run", "two.t1c", "data.npz", "--steps", 2, "-q").exit_code == 0


def test_a_sequence_for_an_input_that_holds_is_told_and_one_step_is_warned_of(t1c):
    xs = np.random.default_rng(2).integers(0, 257, (7, 2, 3)) / 256
    np.savez("sequence.npz", x=xs)
    told = t1c("run", "net.t1c", "sequence.npz")
    assert told.stderr == ""
    assert "'input' holds one value for 6 steps; here it is given a sequence of 7" in told.stdout
    several = t1c("run", "net.t1c", "sequence.npz", "-o", "folder/")
    assert "a sequence of 7, which is taken as it is" in several.stdout
    np.savez("images.npz", x=images())
    assert "note" not in t1c("run", "net.t1c", "images.npz").stdout

    np.savez("one.npz", x=xs[:1])
    told = t1c("run", "net.t1c", "one.npz")
    assert told.exit_code == 0
    assert "warning: array 'x' is a sequence of one step, and input 'input' holds one value" in (
        told.stderr
    )
    assert "2, 1 steps each" in told.stdout

    said = t1c("run", "net.t1c", "one.npz", "--steps", 1)
    assert (said.stderr, "2, 1 steps each" in said.stdout) == ("", True)
    assert t1c("run", "net.t1c", "images.npz", "--steps", 1).stderr == ""
