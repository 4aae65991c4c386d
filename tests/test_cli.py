"""The t1c command: what it prints, what it writes, and how it fails."""

import json
import os
import re
import subprocess
import sys
import zipfile
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text
from typer.testing import CliRunner

from t1c import __version__, ir, sdk, terminal
from t1c.cli import app, main
from t1c.sdk.run_report import format_duration

COMMAND = Path(sys.executable).with_name("t1c")


def one(value):
    return np.array([value])


def lif(**options):
    return ir.LIF(tau=one(4.0), r=one(4.0), v_leak=one(0.0), v_threshold=one(1.0), **options)


def grid(*shape, seed=0):
    """Multiples of 1/256 in -1..1: float32 sums of them are exact in any order."""
    return (np.random.default_rng(seed).integers(-256, 257, shape) / 256).astype(np.float32)


def affine(out, into, seed=0):
    return ir.Affine(weight=2 * grid(out, into, seed=seed), bias=grid(out, seed=seed + 1))


def spiking(**metadata):
    """A (2, 3) image to the spikes of four classes."""
    return ir.Graph(
        nodes={
            "input": ir.Input(shape=(2, 3)),
            "flatten": ir.Flatten(),
            "fc": affine(4, 6),
            "lif": lif(),
            "output": ir.Output(shape=(4,)),
        },
        edges=[("input", "flatten"), ("flatten", "fc"), ("fc", "lif"), ("lif", "output")],
        metadata=metadata,
    )


def recurrent():
    """A loop of two neurons, with a dot and brackets in its names."""
    return ir.Graph(
        nodes={
            "input": ir.Input(shape=(3,)),
            "layer.in": lif(),
            "[bold]back": affine(3, 3),
            "output": ir.Output(shape=(3,)),
        },
        edges=[
            ("input", "layer.in"),
            ("layer.in", "[bold]back"),
            ("[bold]back", "layer.in"),
            ("layer.in", "output"),
        ],
        allow_cycles=True,
    )


def two_by_two(level=1):
    """Two inputs, and two outputs: three classes, and ``level`` further numbers."""
    return ir.Graph(
        nodes={
            "left": ir.Input(shape=(3,)),
            "right": ir.Input(shape=(3,)),
            "lif": lif(),
            "fc": affine(level, 3),
            "classes": ir.Output(shape=(3,)),
            "level": ir.Output(shape=(level,)),
        },
        edges=[
            ("left", "lif"),
            ("right", "lif"),
            ("lif", "classes"),
            ("lif", "fc"),
            ("fc", "level"),
        ],
    )


@pytest.fixture
def t1c(tmp_path, monkeypatch):
    """Runs the command in a folder of its own; returns the result, whose exception is no bug."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run_command(*arguments, env=None):
        result = CliRunner().invoke(app, [str(a) for a in arguments], env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run_command


def reference(graph, xs, dtype=np.float32):
    return ir.Reference(graph, dtype).run(xs)[0]


def still(x, steps):
    return np.broadcast_to(x, (steps, *x.shape))


def table_rows(text):
    """Node name -> cells, split at two spaces and more, of the first table that has it."""
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.strip()]
    return {row[0]: row[1:] for row in reversed(rows)}


def without_style(text):
    return Text.from_ansi(text).plain


class Terminal(StringIO):
    def isatty(self):
        return True


# info ------------------------------------------------------------------------------------------


def test_info_shows_a_table(t1c):
    ir.write("net.t1c", spiking(steps=8, classes=["a", "b"], nir={"dt": 1e-4}, table=np.eye(9)))
    result = t1c("info", "net.t1c")
    assert (result.exit_code, result.stderr) == (0, "")
    size = sdk.format_bytes(Path("net.t1c").stat().st_size)
    assert result.stdout.splitlines()[0] == f"net.t1c: format 0.0.1, {size}"
    rows = table_rows(result.stdout)
    assert rows["node"] == ["type", "output shape", "parameters", "bytes", "state", "from"]
    assert rows["input"] == ["Input", "(2, 3)"]
    assert rows["fc"] == ["Affine", "(4,)", "28", "112", "flatten"]
    assert rows["lif"] == ["LIF", "(4,)", "4", "32", "4", "fc"]
    assert rows["total"] == ["5 nodes", "4 edges", "32", "144", "4"]
    assert "lif     tau 4 steps, v_threshold 1, r 4, v_leak 0, reset to zero\n" in result.stdout
    assert rows["steps"] == ["8"]
    assert rows["classes"] == ["a, b"]
    assert rows["nir.dt"] == ["0.0001"]
    assert rows["table"] == ["an array of shape (9, 9) and dtype float64"]
    assert not any(line.endswith(" ") for line in result.stdout.splitlines())


def test_info_marks_feedback(t1c):
    ir.write("net.t1c", recurrent())
    rows = table_rows(t1c("info", "net.t1c").stdout)
    # The loop's neuron carries its membrane and the spikes that it sent.
    assert rows["layer.in"] == ["LIF", "(3,)", "4", "32", "6", "input, [bold]back"]
    assert rows["[bold]back"] == ["Affine", "(3,)", "12", "48", "layer.in (t-1)"]
    assert "layer.in -> [bold]back" in rows


def test_info_json_is_all_there_is_and_keeps_its_keys(t1c):
    graph = recurrent()
    graph.metadata = {"rate": np.float64("nan"), "table": np.eye(2), "nested": {"on": True}}
    graph.nodes["layer.in"].metadata = {"core": 3}
    ir.write("net.t1c", graph)
    found = json.loads(t1c("info", "net.t1c", "--json").stdout)
    assert list(found) == [
        "file",
        "format",
        "format_version",
        "file_bytes",
        "nodes",
        "edges",
        "neurons",
        "dt",
        "in_steps",
        "checksums",
        "verified",
        "parameters",
        "bytes",
        "state",
        "feedback",
        "metadata",
    ]
    assert (found["file"], found["format"]) == ("net.t1c", "t1c")
    assert found["format_version"] == ir.read_version("net.t1c")
    assert found["file_bytes"] == Path("net.t1c").stat().st_size
    assert found["nodes"][1] == {
        "name": "layer.in",
        "type": "LIF",
        "input_type": {"input": [3]},
        "output_type": {"output": [3]},
        "parameters": 4,
        "bytes": 32,
        "state": 6,
        "sources": [
            {"node": "input", "feedback": False},
            {"node": "[bold]back", "feedback": False},
        ],
        "metadata": {"core": 3},
        "hold": None,
        "final": False,
    }
    assert (found["edges"], found["parameters"], found["bytes"], found["state"]) == (4, 16, 80, 6)
    assert found["feedback"] == [["layer.in", "[bold]back"]]
    assert found["metadata"] == {"rate": "nan", "table": [[1, 0], [0, 1]], "nested": {"on": True}}


def test_info_counts_a_nested_graph_with_all_it_holds(t1c):
    outer = ir.Graph(
        nodes={
            "input": ir.Input(shape=(2, 3)),
            "block": spiking(),
            "output": ir.Output(shape=(4,)),
        },
        edges=[("input", "block"), ("block", "output")],
    )
    ir.write("net.t1c", outer)
    rows = table_rows(t1c("info", "net.t1c").stdout)
    assert rows["block"] == ["Graph", "(4,)", "32", "144", "4", "input"]


def test_several_ports_are_shown_by_name():
    node = sdk.NodeInfo("split", "Split", {}, {"a": (2,), "b": (3,)}, 0, 0, 0, (), {})
    info = sdk.FileInfo("net.t1c", "t1c", "0.0.1", 640, (node,), 0, {}, {})
    output = StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        terminal.print_report(info)
    assert table_rows(output.getvalue())["split"] == ["Split", "a (2,), b (3,)"]


def test_warnings_are_plain_and_beside_the_result(t1c):
    graph = spiking()
    graph.nodes["dead"] = lif()
    graph.edges.append(("fc", "dead"))
    graph.check()
    ir.write("net.t1c", graph)
    result = t1c("info", "net.t1c", "--json")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: 'dead': no path leads")
    assert "GraphWarning" not in result.stderr
    assert json.loads(result.stdout)["nodes"][-1]["name"] == "dead"


def test_a_file_cannot_steer_the_terminal(t1c):
    graph = spiking(note="\x1b]0;owned\x07")
    graph.nodes["\x1b[31mred"] = graph.nodes.pop("lif")
    graph.edges = [(a.replace("lif", "\x1b[31mred"), b) for a, b in graph.edges]
    graph.edges = [(a, b.replace("lif", "\x1b[31mred")) for a, b in graph.edges]
    graph.check()
    ir.write("net.t1c", graph)
    printed = t1c("info", "net.t1c").stdout
    assert "\x1b" not in printed
    assert "\\x1b[31mred" in printed
    assert "\\x1b]0;owned\\x07" in printed
    assert "\x1b" not in t1c("info", "\x1b[31m.t1c").stderr


def test_on_a_terminal_tables_keep_to_its_width(monkeypatch):
    node = sdk.NodeInfo("n" * 60, "LIF", {}, {"output": (3,)}, 0, 0, 0, (), {})
    info = sdk.FileInfo("net.t1c", "t1c", "0.0.1", 640, (node,), 0, {}, {})
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "70")
    terminal.print_report(info)
    assert max(map(len, without_style(screen.getvalue()).splitlines())) <= 70


# run -------------------------------------------------------------------------------------------


def test_run_tells_accuracy_and_writes_what_the_reference_says(t1c):
    graph = spiking(steps=9)
    ir.write("net.t1c", graph)
    x = grid(7, 2, 3)
    expected = reference(graph, still(x, 9))
    labels = expected.sum(axis=0).argmax(axis=1)
    labels[0] = (labels[0] + 1) % 4
    np.savez("digits.npz", x=x, y=labels)
    result = t1c("run", "net.t1c", "digits.npz", "--batch-size", 3)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = table_rows(result.stdout)
    assert rows["samples"] == ["7, 9 steps each, in float32"]
    assert rows["accuracy"] == ["85.71%, 6 of 7 right"]
    assert rows["mean output"] == [f"{expected.mean():.4g} per step and neuron"]
    assert rows["results"] == ["digits_results.npz: out_sum (7, 4), prediction (7,)"]
    assert re.fullmatch(r"\S+ m?s, \S+ m?s per sample", rows["time"][0])
    with np.load("digits_results.npz") as written:
        assert sorted(written) == ["out_sum", "prediction"]
        np.testing.assert_array_equal(written["out_sum"], expected.sum(axis=0))
        np.testing.assert_array_equal(written["prediction"], expected.sum(axis=0).argmax(axis=1))
    assert sorted(os.listdir()) == ["digits.npz", "digits_results.npz", "net.t1c"]


def test_run_json_is_all_there_is_and_keeps_its_keys(t1c):
    ir.write("net.t1c", spiking())
    np.savez("data.npz", x=grid(5, 2, 2, 3), labels=np.array([0, 3], np.uint8))
    result = t1c("run", "net.t1c", "data.npz", "-o", "out.npz", "--json", "--keep-steps")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert list(found) == [
        "model",
        "data",
        "results",
        "samples",
        "steps",
        "batch_size",
        "dtype",
        "seconds",
        "seconds_per_sample",
        "loading_seconds",
        "compiling_seconds",
        "mean_output",
        "correct",
        "accuracy",
        "arrays",
        "notes",
    ]
    with np.load("out.npz") as written:
        correct = int((written["prediction"] == [0, 3]).sum())
        mean = written["out"].mean()
    assert (found["model"], found["data"], found["results"]) == ("net.t1c", "data.npz", "out.npz")
    assert (found["samples"], found["steps"], found["batch_size"]) == (2, 5, 256)
    assert (found["correct"], found["accuracy"]) == (correct, correct / 2)
    assert found["mean_output"] == {"output": pytest.approx(mean)}
    assert found["arrays"] == {"out_sum": [2, 4], "prediction": [2], "out": [5, 2, 4]}
    assert found["seconds"] == pytest.approx(2 * found["seconds_per_sample"])


@pytest.mark.parametrize("make", [spiking, recurrent])
def test_batches_and_stretches_of_time_change_no_number(t1c, monkeypatch, make):
    monkeypatch.setattr("t1c.sdk.runner.STEPS_AT_ONCE", 3)
    graph = make()
    ir.write("net.t1c", graph)
    (shape,) = (node.shape for node in graph.inputs().values())
    xs = grid(8, 5, *shape)
    np.savez("data.npz", x=xs)
    assert t1c("run", "net.t1c", "data.npz", "--keep-steps", "--batch-size", 2).exit_code == 0
    with np.load("data_results.npz") as written:
        assert written["out"].dtype == np.float32
        np.testing.assert_array_equal(written["out"], reference(graph, xs))


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("float64", np.float64), ("float32", np.float32), ("bfloat16", np.float32)],
)
def test_run_in_another_dtype(t1c, dtype, stored):
    graph = spiking()
    ir.write("net.t1c", graph)
    # One step of small whole numbers is exact even in bfloat16.
    xs = np.array([[[[1, 0, 1], [0, 1, 0]]]], dtype=bool)
    np.savez("data.npz", x=xs)
    assert t1c("run", "net.t1c", "data.npz", "--dtype", dtype, "--keep-steps").exit_code == 0
    with np.load("data_results.npz") as written:
        assert written["out"].dtype == stored
        if dtype != "bfloat16":
            np.testing.assert_array_equal(written["out"], reference(graph, xs, stored))
        assert written["out_sum"].dtype == np.float64


def test_float64_is_exact_where_float32_is_not(t1c):
    graph = ir.Graph(
        {"input": ir.Input(shape=(1,)), "output": ir.Output(shape=(1,))}, [("input", "output")]
    )
    ir.write("net.t1c", graph)
    np.savez("data.npz", x=np.array([[[0.1]]], dtype=">f8"))
    assert t1c("run", "net.t1c", "data.npz", "--dtype", "float64").exit_code == 0
    with np.load("data_results.npz") as written:
        assert written["out_sum"] == 0.1
        assert list(written) == ["out_sum"]  # one neuron chooses between nothing


@pytest.mark.parametrize(
    ("arguments", "beside", "metadata", "steps"),
    [
        (["--steps", 2], {"steps": 3}, {"steps": 4}, 2),
        ([], {"steps": 3}, {"steps": 4}, 3),
        ([], {}, {"steps": 4}, 4),
    ],
)
def test_where_the_number_of_steps_comes_from(t1c, arguments, beside, metadata, steps):
    ir.write("net.t1c", spiking(**metadata))
    np.savez("data.npz", x=grid(5, 2, 3), **beside)
    result = t1c("run", "net.t1c", "data.npz", "--json", *arguments)
    assert json.loads(result.stdout)["steps"] == steps


def test_several_inputs_and_outputs_go_by_name(t1c):
    graph = two_by_two()
    ir.write("net.t1c", graph)
    left, right = grid(6, 4, 3), grid(4, 3, seed=1)
    arrays = {"x/left": left, "x/right": right, "y": np.zeros(4, int)}
    np.savez("data.npz", **arrays)
    result = t1c("run", "net.t1c", "data.npz", "--keep-steps")
    assert (result.exit_code, result.stderr) == (0, "")
    expected = reference(graph, {"left": left, "right": still(right, 6)})
    with np.load("data_results.npz") as written:
        assert list(written) == [
            "out_sum/classes",
            "out_sum/level",
            "prediction/classes",
            "out/classes",
            "out/level",
        ]
        for name in ("classes", "level"):
            np.testing.assert_array_equal(written[f"out/{name}"], expected[name])
        right_ones = int((written["prediction/classes"] == 0).sum())
    rows = table_rows(result.stdout)
    assert rows["accuracy"] == [f"{right_ones / 4:.2%}, {right_ones} of 4 right"]
    means = {name: f"{values.mean():.4g}" for name, values in expected.items()}
    assert rows["mean output"] == [
        f"classes {means['classes']}, level {means['level']} per step and neuron"
    ]


def test_a_single_input_may_go_by_its_name_too(t1c):
    ir.write("net.t1c", spiking())
    np.savez("data.npz", **{"x/input": grid(5, 1, 2, 3)})
    assert t1c("run", "net.t1c", "data.npz").exit_code == 0


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.zeros((4, 3)), "expected integers of shape (N,)"),
        (np.zeros(4, int), "one output of shape (classes,), and the graph has 2"),
    ],
)
def test_labels_that_cannot_be_used_are_left_alone_aloud(t1c, labels, why):
    ir.write("net.t1c", two_by_two(level=2))
    np.savez("data.npz", **{"x/left": grid(5, 4, 3), "x/right": grid(5, 4, 3), "labels": labels})
    result = t1c("run", "net.t1c", "data.npz")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: ")
    assert why in result.stderr
    assert "accuracy" not in table_rows(result.stdout)


def test_quiet_prints_nothing(t1c):
    ir.write("net.t1c", spiking())
    np.savez("data.npz", x=grid(5, 1, 2, 3))
    result = t1c("run", "net.t1c", "data.npz", "--quiet", env={"FORCE_COLOR": "1"})
    assert (result.exit_code, result.output) == (0, "")
    assert Path("data_results.npz").exists()


def test_a_terminal_gets_a_progress_bar_on_stderr(t1c):
    ir.write("net.t1c", spiking())
    np.savez("data.npz", x=grid(5, 1, 2, 3))
    result = t1c("run", "net.t1c", "data.npz", "--json", env={"FORCE_COLOR": "1"})
    assert "samples" in result.stderr
    json.loads(result.stdout)


def test_numbers_that_are_not_finite_can_be_forced(t1c):
    graph = spiking()
    graph.allow_nonfinite = True
    graph.nodes["fc"].bias[0] = np.nan
    ir.write("net.t1c", graph)
    np.savez("data.npz", x=np.full((2, 1, 2, 3), np.inf))
    assert t1c("info", "net.t1c").exit_code == 1
    assert t1c("info", "net.t1c", "--allow-nonfinite").exit_code == 0
    assert t1c("run", "net.t1c", "data.npz").exit_code == 1
    assert t1c("run", "net.t1c", "data.npz", "--allow-nonfinite").exit_code == 0


@pytest.mark.parametrize(("seconds", "text"), [(2.5, "2.5 s"), (0.00123456, "1.23 ms")])
def test_durations(seconds, text):
    assert format_duration(seconds) == text


# What goes wrong ---------------------------------------------------------------------------------


def fails(result, *words):
    """The result is one plain error that holds the words."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr, result.stderr
    return True


def test_files_that_cannot_be_read(t1c):
    Path("text.t1c").write_text("no network")
    Path("text.npz").write_text("no data")
    Path("empty.npz").touch()
    Path("folder.npz").mkdir()
    ir.write("net.t1c", spiking())
    np.save("array.npz.npy", grid(2, 3))
    fails(t1c("info", "missing.t1c"), "there is no file 'missing.t1c'")
    fails(t1c("info", "text.t1c"), "text.t1c", "not an HDF5 file")
    fails(t1c("run", "missing.t1c", "text.npz"), "there is no file 'missing.t1c'")
    fails(t1c("run", "net.t1c", "missing.npz"), "there is no file 'missing.npz'")
    fails(t1c("run", "net.t1c", "text.npz"), "text.npz: not an .npz file", "np.savez")
    fails(t1c("run", "net.t1c", "empty.npz"), "empty.npz: not an .npz file")
    fails(t1c("run", "net.t1c", "folder.npz", "-o", "all"), "folder.npz: no .npz file in this")
    fails(t1c("run", "net.t1c", "array.npz.npy"), "one array without a name")


X = grid(2, 2, 3)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": X, "y": [0, 1]}, ["no array 'x'", "(N, 2, 3)", "(T, N, 2, 3)", "'images'"]),
        ({"a": X, "b": X}, ["no array 'x' among 'a', 'b'"]),
        ({}, ["no array 'x' among no arrays"]),
        ({"x": X[0]}, ["array 'x': shape (2, 3)", "x[None]"]),
        ({"x": X[..., :2]}, ["shape (2, 2, 2)", "expected (N, 2, 3), or a sequence (T, N, 2, 3)"]),
        ({"x": X[:0], "steps": 2}, ["no samples"]),
        ({"x": X[None][:0]}, ["0 steps"]),
        ({"x": X.astype(complex)}, ["dtype complex128", "real numbers"]),
        ({"x": X.astype(object)}, ["array 'x': Python objects"]),
        ({"x": np.where(X < 0, np.nan, X)}, ["NaN or infinite", "--allow-nonfinite"]),
        ({"x": X, "steps": 0}, ["array 'steps': array(0)", "one integer of at least 1"]),
        ({"x": X, "steps": 2.5}, ["array 'steps'"]),
        ({"x": X, "steps": [1, 2]}, ["array 'steps'"]),
        ({"x": X, "steps": 2, "y": [0, 1, 2]}, ["array 'y': 3 labels", "2, one per sample"]),
        ({"x": X, "steps": 2, "y": [0, 4]}, ["label 4", "from 0 to 3"]),
        ({"x": X, "steps": 2, "labels": [-1, 4]}, ["label -1 (and 1 more"]),
    ],
)
def test_data_that_does_not_fit(t1c, arrays, words):
    ir.write("net.t1c", spiking())
    np.savez("data.npz", **arrays)
    fails(t1c("run", "net.t1c", "data.npz"), *words)
    assert sorted(os.listdir()) == ["data.npz", "net.t1c"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": grid(4, 3)}, ["no array 'x/left'", "no array 'x/right'"]),
        (
            {"x/left": grid(2, 4, 3), "x/right": grid(3, 4, 3)},
            ["2 in array 'x/left', 3 in array 'x/right'"],
        ),
        (
            {"x/left": grid(2, 4, 3), "x/right": grid(2, 5, 3)},
            ["different numbers of samples: 4 in 'x/left', 5 in 'x/right'"],
        ),
    ],
)
def test_inputs_that_do_not_fit_together(t1c, arrays, words):
    ir.write("net.t1c", two_by_two())
    np.savez("data.npz", **arrays)
    fails(t1c("run", "net.t1c", "data.npz"), *words)


def test_steps_that_nobody_states_or_that_contradict(t1c):
    ir.write("net.t1c", spiking())
    np.savez("still.npz", x=X)
    np.savez("moving.npz", x=grid(5, 2, 2, 3))
    fails(t1c("run", "net.t1c", "still.npz"), "no time axis", "--steps N")
    fails(t1c("run", "net.t1c", "moving.npz", "--steps", 4), "5 in array 'x', 4 in steps")
    assert t1c("run", "net.t1c", "moving.npz", "--steps", 5).exit_code == 0
    ir.write("noted.t1c", spiking(steps="a few"))
    fails(t1c("run", "noted.t1c", "still.npz"), "metadata 'steps' of the graph", "a few")


def test_a_damaged_archive(t1c):
    ir.write("net.t1c", spiking())
    np.savez_compressed("data.npz", x=grid(50, 2, 2, 3))
    content = bytearray(Path("data.npz").read_bytes())
    content[200:220] = bytes(20)
    Path("data.npz").write_bytes(content)
    fails(t1c("run", "net.t1c", "data.npz"), "array 'x': damaged")
    with zipfile.ZipFile("text.npz", "w") as archive:
        archive.writestr("x", "no array")
    fails(t1c("run", "net.t1c", "text.npz"), "array 'x': not an array")


def test_a_nested_graph_runs(t1c):
    outer = ir.Graph(
        nodes={"in": ir.Input(shape=(2, 3)), "net": spiking(), "out": ir.Output(shape=(4,))},
        edges=[("in", "net"), ("net", "out")],
    )
    ir.write("net.t1c", outer)
    np.savez("data.npz", x=grid(5, 1, 2, 3))
    assert t1c("run", "net.t1c", "data.npz").exit_code == 0
    expected, _ = ir.Reference(outer, np.float32).run(np.load("data.npz")["x"])
    with np.load("data_results.npz") as results:
        np.testing.assert_array_equal(results["out_sum"], expected.sum(axis=0))


def test_results_that_have_no_place(t1c):
    ir.write("net.t1c", spiking())
    np.savez("data.npz", x=grid(5, 1, 2, 3))
    Path("folder").mkdir()
    fails(t1c("run", "net.t1c", "data.npz", "-o", "data.npz"), "would replace 'data.npz'")
    fails(t1c("run", "net.t1c", "data.npz", "-o", "net.t1c"), "would replace 'net.t1c'")
    fails(t1c("run", "net.t1c", "data.npz", "-o", "no/where.npz"), "there is no folder")


def test_results_go_where_they_are_told_whatever_the_name(t1c):
    ir.write("net.t1c", spiking())
    np.savez("data.npz", x=grid(5, 1, 2, 3))
    assert t1c("run", "net.t1c", "data.npz", "-o", "results").exit_code == 0
    assert np.load("results")["out_sum"].shape == (1, 4)


def test_without_torch_the_error_names_the_extra(t1c, monkeypatch):
    ir.write("net.t1c", spiking())
    np.savez("data.npz", x=grid(5, 1, 2, 3))
    monkeypatch.setitem(sys.modules, "torch", None)
    fails(t1c("run", "net.t1c", "data.npz"), "PyTorch", "pip install 't1c[torch]'")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError(), "error: out of memory\n"),
        (
            PermissionError(13, "Permission denied", "net.t1c"),
            "error: net.t1c: Permission denied\n",
        ),
    ],
)
def test_errors_of_the_machine(t1c, monkeypatch, error, text):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(sdk, "file_info", fail)
    assert t1c("info", "net.t1c").stderr == text


def test_running_out_of_memory_is_not_called_damage(t1c, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("cannot allocate 9 TiB")

    ir.write("net.t1c", spiking())
    np.savez("data.npz", x=X)
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", fail)
    fails(t1c("run", "net.t1c", "data.npz"), "error: cannot allocate 9 TiB")


def test_a_bug_keeps_its_traceback(t1c, monkeypatch):
    monkeypatch.setattr(sdk, "file_info", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        t1c("info", "net.t1c")


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-verb"],
        ["info"],
        ["run", "net.t1c"],
        ["run", "net.t1c", "data.npz", "--steps", "0"],
        ["run", "net.t1c", "data.npz", "--batch-size", "0"],
        ["run", "net.t1c", "data.npz", "--dtype", "int8"],
    ],
)
def test_what_is_not_understood_exits_with_2(t1c, arguments):
    assert t1c(*arguments).exit_code == 2


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"dtype": "int8"}])
def test_the_sdk_checks_its_arguments_too(option):
    samples = sdk.Samples({"input": grid(5, 1, 2, 3)})
    with pytest.raises(ir.InputError, match=r"batch_size=0|dtype='int8'"):
        sdk.run(spiking(), samples, **option)


def test_the_sdk_runs_samples_from_anywhere():
    graph, xs = spiking(), grid(5, 3, 2, 3)
    result = sdk.run(graph, sdk.Samples({"input": xs}))
    assert (result.samples, result.steps, result.out, result.accuracy) == (3, 5, None, None)
    np.testing.assert_array_equal(result.out_sum["output"], reference(graph, xs).sum(axis=0))


# The command as users start it -------------------------------------------------------------------


def test_version_and_help(t1c):
    assert t1c("--version").stdout == f"t1c {__version__}\n"
    assert "info" in t1c("--help").stdout
    assert "--keep-steps" in without_style(t1c("run", "--help").stdout)


def test_letters_that_the_terminal_lacks_are_spelled_out(tmp_path, monkeypatch):
    path = tmp_path / "net.t1c"
    ir.write(path, spiking(name="Zürich 東"))
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding="latin-1"))
    monkeypatch.setattr(sys, "argv", ["t1c", "info", str(path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    sys.stdout.flush()
    assert "Zürich \\u6771" in written.getvalue().decode("latin-1")


def test_the_installed_command_shows_a_file_without_torch(tmp_path):
    ir.write(tmp_path / "net.t1c", spiking())
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "torch.py").write_text("raise SystemExit('torch was imported')")
    done = subprocess.run(
        [COMMAND, "info", "net.t1c"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(shadow)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert table_rows(done.stdout)["total"][0] == "5 nodes"


def test_the_sdk_and_help_load_no_torch():
    code = (
        "import sys\n"
        "import t1c.cli\n"
        "print('numpy' in sys.modules)\n"
        "import t1c.sdk, t1c.terminal\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["False", "False"]
