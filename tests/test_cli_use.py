"""The command as it is used: help, pipes, JSON, statuses, folders of samples, narrow terminals."""

import gzip
import io
import json
import os
import pickle
import pty
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from t1c import ir, nir, sdk, terminal
from t1c.cli import app
from t1c.cli.options import seconds
from t1c.cli.usage import GROUPS

from .engine_helpers import grid, lif
from .strategies_executor import chain

COMMAND = (sys.executable, "-m", "t1c.cli")
DATA = Path(__file__).parent / "data"
VERBS = [verb for group in GROUPS.values() for verb in group]


def network(threshold=0.25, **metadata):
    rng = np.random.default_rng(0)
    graph = chain(
        ("input", ir.Input((3,))),
        ("fc", ir.Affine(grid(rng, 4, 3), grid(rng, 4))),
        ("lif", lif(threshold)),
        ("output", ir.Output((4,))),
    )
    graph.metadata = metadata
    return graph


def samples(count=3, steps=5, seed=1):
    return np.random.default_rng(seed).integers(0, 257, (steps, count, 3)) / 256


def counts(graph, x):
    """What a file of results must hold."""
    spikes, _ = ir.Reference(graph, np.float32).run(x)
    assert spikes.any()
    return spikes.sum(axis=0)


@pytest.fixture
def t1c(tmp_path, monkeypatch):
    """Runs the command in a folder that holds net.t1c and data.npz."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("T1C_TRACEBACK", raising=False)
    ir.write("net.t1c", network())
    np.savez("data.npz", x=samples())

    def run(*arguments, **options):
        result = CliRunner().invoke(app, [str(a) for a in arguments], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


# Help ------------------------------------------------------------------------------------------


def test_every_verb_is_listed_and_helps(t1c):
    listed = t1c("-h").stdout
    assert t1c("--help").stdout == listed
    named = [c.name or c.callback.__name__ for c in app.registered_commands]
    assert sorted(VERBS) == sorted([*named, *(g.name for g in app.registered_groups)])
    for verb in VERBS:
        assert f"\n  {verb} " in listed
        told = t1c(verb, "-h")
        assert told.exit_code == 0
        assert told.stdout.startswith(f"Usage: t1c {verb} ")
        if verb == "deploy":
            # Its options are those of its own verbs.
            told = t1c(verb, "onnx", "-h")
        assert "--json" in told.stdout
        assert "<bool>" not in told.stdout
        assert max(map(len, told.stdout.splitlines())) <= 80


def test_without_a_verb_help_is_shown(t1c):
    result = t1c()
    assert result.exit_code == 2
    assert result.stdout == t1c("-h").stdout


def test_help_and_version_load_little():
    code = (
        "import sys\n"
        "from t1c.cli import app\n"
        "for arguments in (['-h'], ['--version']):\n"
        "    try: app(arguments)\n"
        "    except SystemExit: pass\n"
        "heavy = {'numpy', 'h5py', 'torch', 'rich', 'rustworkx'}\n"
        "print('heavy:', *sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1].split() == ["heavy:"]


def test_completion_offers_verbs_and_options(t1c):
    def complete(words, number):
        given = {"_T1C_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        done = subprocess.run(
            COMMAND, env={**os.environ, **given}, capture_output=True, text=True, timeout=120
        )
        return done.stdout.split()

    assert complete("t1c ve", 1) == ["verify"]
    assert complete("t1c run --ke", 2) == ["--keep-steps"]


# Errors and statuses ---------------------------------------------------------------------------


def broken():
    """The bytes of a file with two things wrong."""
    graph = network()
    ir.write("broken.t1c", graph)
    import h5py

    with h5py.File("broken.t1c", "r+") as file:
        del file["checksums"]  # whoever forges a file forges them too
        del file["graph/nodes/fc/bias"]
        file["graph/nodes/lif/tau"][...] = 0.25
    return "broken.t1c"


@pytest.mark.parametrize(
    ("arguments", "status", "kind"),
    [
        (["info", "none.t1c"], 1, "FileNotFoundError"),
        (["info", "BROKEN"], 1, "T1CFormatError"),
        (["run", "net.t1c", "net.t1c"], 1, "InputError"),
        (["verify", "net.t1c", "none.t1c", "-i", "data.npz"], 2, "FileNotFoundError"),
        (["validate", "none.t1c"], 2, "FileNotFoundError"),
        (["primitives", "Conv"], 1, "UnknownPrimitiveError"),
        (["info"], 2, "UsageError"),
        (["info", "net.t1c", "--colour"], 2, "UsageError"),
        (["inform", "net.t1c"], 2, "UsageError"),
        (["run", "net.t1c", "data.npz", "data.npz"], 2, "UsageError"),
        (["info", "net.t1c", "--dt", "soon"], 2, "UsageError"),
    ],
)
def test_errors_are_one_message_or_one_object(t1c, arguments, status, kind):
    arguments = [broken() if a == "BROKEN" else a for a in arguments]
    plain = t1c(*arguments)
    assert (plain.exit_code, plain.stdout) == (status, "")
    assert plain.stderr.startswith("error: ")
    assert "Traceback" not in plain.stderr
    as_json = t1c(*arguments, "--json")
    assert (as_json.exit_code, as_json.stderr) == (status, "")
    (error,) = json.loads(as_json.stdout).values()
    assert list(error) == ["kind", "message", "problems"]
    assert error["kind"] == kind
    assert f"error: {error['message']}\n" == plain.stderr


def test_an_error_as_json_holds_all_problems_in_parts(t1c):
    error = json.loads(t1c("info", broken(), "--json").stdout)["error"]
    assert len(error["problems"]) == 2
    assert {p["where"][:10] for p in error["problems"]} == {"node 'fc' ", "node 'lif'"}
    assert all(list(p) == ["found", "expected", "remedy", "where", "field"]
               for p in error["problems"])  # fmt: skip


def test_an_error_of_use_is_one_line_that_names_the_help(t1c):
    told = t1c("run", "net.t1c").stderr
    assert told == "error: Missing argument 'DATA...'. See: t1c run -h\n"
    told = t1c("verfy").stderr
    assert told == "error: No such command 'verfy'. Did you mean 'verify'? See: t1c -h\n"


@pytest.mark.parametrize(
    "arguments", [["info", "none", "--traceback"], ["--traceback", "info", "no"]]
)
def test_a_traceback_is_shown_to_who_asks(t1c, arguments):
    assert "Traceback" in t1c(*arguments).stderr
    assert "Traceback" in t1c("info", "none", env={"T1C_TRACEBACK": "1"}).stderr
    assert "Traceback" not in t1c("info", "none", env={"T1C_TRACEBACK": "0"}).stderr
    assert "Traceback" not in t1c("info", "--", "--traceback").stderr


def test_a_bug_is_an_object_too_and_keeps_its_traceback(t1c, monkeypatch):
    monkeypatch.setattr(sdk, "file_info", lambda *_, **__: 1 / 0)
    result = CliRunner().invoke(app, ["info", "net.t1c", "--json"])
    assert isinstance(result.exception, ZeroDivisionError)
    assert json.loads(result.stdout)["error"]["kind"] == "ZeroDivisionError"


WRONG = {
    "a folder": lambda path: path.mkdir(),
    "an empty file": lambda path: path.touch(),
    "a text file": lambda path: path.write_text("weights, größer\n"),
    "a pointer of Git LFS": lambda path: path.write_text("version https://git-lfs.github.com\n"),
    "an .npz file": lambda path: path.write_bytes(_npz(x=np.ones(3))),
    "a zip archive": lambda path: zipfile.ZipFile(path, "w").writestr("a.txt", "a"),
    "a damaged archive": lambda path: path.write_bytes(_npz(x=np.ones(3))[:-30]),
    "a single NumPy array": lambda path: path.write_bytes(_npy(np.ones(3))),
    "a file of torch.save": lambda path: torch.save({"a": torch.ones(1)}, path),
    "a Python pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "packed with gzip": lambda path: path.write_bytes(gzip.compress(b"a")),
    "a file of another kind": lambda path: path.write_bytes(bytes(range(200, 256))),
    "no ordinary file": os.mkfifo,
}


def _npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_is_no_network_is_called_what_it_is(t1c, what):
    for name in ("wrong.t1c", "wrong.nir"):
        WRONG[what](Path(name))
        told = t1c("info", name).stderr
        assert told.startswith(f"error: {name}: {what}")
        assert "not an HDF5 file; expected a " in told


def test_a_network_given_as_samples_is_called_one(t1c):
    told = t1c("run", "net.t1c", "net.t1c").stderr
    assert "net.t1c: not an .npz file, but an HDF5 file" in told
    assert "the network comes first" in told


# NIR -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1e-4", 1e-4), ("100us", 1e-4), ("0.1 ms", 1e-4), ("100µs", 1e-4), ("2s", 2.0),
     ("50ns", 5e-8), ("1000us", 1e-3), ("1", 1.0)],
)  # fmt: skip
def test_times_have_units(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "us", "1m", "1.2.3", "-1", "inf", "1e-4 years"])
def test_what_is_no_time(t1c, text):
    result = t1c("info", "net.t1c", "--dt", text)
    assert result.exit_code == 2
    assert "is no time" in result.stderr


def test_nir_files_are_looked_into_and_run(t1c):
    source = DATA / "nir" / "lif.nir"
    with np.load(source.with_suffix(".npz")) as known:
        dt, x, y = known["dt"].item(), known["x"], known["y"]
    np.savez("x.npz", x=x)
    told = t1c("info", source)
    assert told.exit_code == 0
    assert "times are told in seconds" in " ".join(told.stdout.split())
    asked = t1c("analyze", source)
    assert asked.exit_code == 1
    assert "--dt" in asked.stderr
    found = json.loads(t1c("info", source, "--dt", f"{1e6 * dt:g}us", "--json").stdout)
    assert (found["format"], found["format_version"]) == ("nir", nir.read_version(source))
    assert found["metadata"]["nir"]["dt"] == dt
    assert [n["type"] for n in found["nodes"]] == ["Input", "LIF", "Output"]
    assert f": NIR {found['format_version']}, " in t1c("info", source, "--dt", dt).stdout
    ran = t1c("run", source, "x.npz", "--dt", dt, "--keep-steps", "--dtype", "float64", "-o", "o")
    assert ran.exit_code == 0
    assert y.any()
    np.testing.assert_array_equal(np.load("o")["out"], y)


def test_a_nir_file_takes_the_dt_of_its_counterpart(t1c):
    source = DATA / "nir" / "lif.nir"
    np.savez("x.npz", x=np.load(source.with_suffix(".npz"))["x"])
    unknown = t1c("verify", source, source, "-i", "x.npz")
    assert unknown.exit_code == 2
    assert "--dt" in unknown.stderr
    dt = np.load(source.with_suffix(".npz"))["dt"].item()
    assert t1c("convert", source, "lif.t1c", "--dt", dt).exit_code == 0
    for pair in ((source, "lif.t1c"), ("lif.t1c", source)):
        result = t1c("verify", *pair, "-i", "x.npz")
        assert result.exit_code == 0, result.output
        assert "agree" in result.stdout
    # What the user says wins.
    assert t1c("verify", "lif.t1c", source, "-i", "x.npz", "--dt", 2 * dt).exit_code == 1


# Standard input --------------------------------------------------------------------------------


def test_a_network_or_samples_are_piped_in(t1c):
    piped = Path("net.t1c").read_bytes()
    shown = t1c("info", "-", input=piped)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[0].startswith("-: format")
    assert shown.stdout.splitlines()[1:] == t1c("info", "net.t1c").stdout.splitlines()[1:]
    ran = json.loads(t1c("run", "-", "data.npz", "--json", input=piped).stdout)
    assert (ran["model"], ran["results"]) == ("-", "data_results.npz")
    ran = json.loads(t1c("run", "net.t1c", "-", "--json", input=_npz(x=samples())).stdout)
    assert (ran["data"], ran["results"]) == ("-", "stdin_results.npz")
    for name in ("data_results.npz", "stdin_results.npz"):
        np.testing.assert_array_equal(np.load(name)["out_sum"], counts(network(), samples()))
    of_nir = (DATA / "nir" / "lif.nir").read_bytes()
    assert json.loads(t1c("info", "-", "--dt", 1e-4, "--json", input=of_nir).stdout)["file"] == "-"
    compared = t1c("verify", "-", "net.t1c", "-i", "data.npz", input=piped)
    assert "a           - (4 nodes)" in compared.stdout


def test_what_is_piped_in_is_called_standard_input(t1c):
    for arguments in (["info", "-"], ["run", "-", "data.npz"]):
        told = t1c(*arguments, input=b"no network")
        assert told.exit_code == 1
        assert told.stderr.startswith("error: -: a text file, not an HDF5 file")
    told = t1c("run", "-", "-", input=Path("net.t1c").read_bytes())
    assert "named twice" in told.stderr


def test_a_terminal_is_no_file(t1c, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    from t1c.cli import sources

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(ir.InputError, match="which is a terminal"):
        sources.samples(Path("-"))


# Several files ---------------------------------------------------------------------------------


@pytest.fixture
def parts(t1c):
    """Four files of samples in a folder."""
    Path("data").mkdir()
    for i in range(4):
        x = samples(count=i + 1, seed=i)
        np.savez(f"data/part{i}.npz", x=x, y=counts(network(), x).argmax(axis=1))
    return [Path(f"data/part{i}.npz") for i in range(4)]


def statuses(result):
    return [file["status"] for file in json.loads(result.stdout)["files"]]


def test_a_folder_a_pattern_or_a_list(t1c, parts):
    for given in (["data"], ["data/*.npz"], parts, ["data/part[0-2].npz", "data"]):
        shutil.rmtree("results", ignore_errors=True)
        result = t1c("run", "net.t1c", *given, "-o", "results", "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert [f["data"] for f in found["files"]] == list(map(str, parts))
        assert found["counts"] == {"done": 4, "finished": 0, "failed": 0}
        assert found["accuracy"] == 1.0
        assert sorted(os.listdir("results")) == [p.name for p in parts]
        for path in parts:
            with np.load(path) as data, np.load(Path("results") / path.name) as results:
                assert sorted(results) == ["out_sum", "prediction"]
                np.testing.assert_array_equal(results["out_sum"], counts(network(), data["x"]))


def test_what_is_finished_is_passed_over(t1c, parts):
    def run(*options):
        return t1c("run", "net.t1c", "data", "-o", "results/", "--json", *options)

    assert statuses(run()) == ["done"] * 4
    before = {p.name: (Path("results") / p.name).stat().st_mtime_ns for p in parts}
    again = run()
    assert statuses(again) == ["finished"] * 4
    assert json.loads(again.stdout)["accuracy"] == 1.0
    assert before == {p.name: (Path("results") / p.name).stat().st_mtime_ns for p in parts}
    os.remove("results/part1.npz")
    Path("results/part2.npz").write_bytes(Path("results/part2.npz").read_bytes()[:-9])
    assert statuses(run()) == ["finished", "done", "done", "finished"]
    assert statuses(run("--again")) == ["done"] * 4
    told = t1c("run", "net.t1c", "data", "-o", "results")
    assert "0 done, 4 finished before" in told.stdout


def test_nothing_stale_passes_for_finished(t1c, parts):
    def run(*options):
        return t1c("run", "net.t1c", "data", "-o", "results", "--json", *options)

    assert statuses(run()) == ["done"] * 4
    np.savez(parts[2], x=samples(count=2, seed=9))
    assert statuses(run()) == ["finished", "finished", "done", "finished"]
    assert statuses(run("--dtype", "float64")) == ["done"] * 4
    assert statuses(run("--dtype", "float64", "--keep-steps")) == ["done"] * 4
    assert statuses(run()) == ["done"] * 4
    ir.write("net.t1c", network(threshold=0.5))
    assert statuses(run()) == ["done"] * 4
    with np.load(parts[3]) as data, np.load("results/part3.npz") as results:
        expected = counts(network(threshold=0.5), data["x"])
        np.testing.assert_array_equal(results["out_sum"], expected)


def test_one_file_that_fails_does_not_keep_the_others_from_running(t1c, parts):
    np.savez(parts[1], images=samples())
    parts[2].write_text("no samples")
    result = t1c("run", "net.t1c", "data", "-o", "results", "--json")
    assert result.exit_code == 1
    assert statuses(result) == ["done", "failed", "failed", "done"]
    assert sorted(os.listdir("results")) == ["part0.npz", "part3.npz"]
    told = t1c("run", "net.t1c", "data", "-o", "results")
    assert told.exit_code == 1
    assert "no array 'x' among 'images'" in told.stdout
    assert "but a text file" in told.stdout
    assert "2 finished before, 2 failed" in told.stdout


def test_names_that_clash_are_told_apart_by_their_folders(t1c, parts):
    Path("more").mkdir()
    shutil.copy(parts[0], "more/part0.npz")
    shutil.copy(parts[0], "data/part0.dat")
    result = t1c("run", "net.t1c", "data/part0.npz", "more", "-o", "results", "--json")
    assert [f["results"] for f in json.loads(result.stdout)["files"]] == [
        "results/data/part0.npz",
        "results/more/part0.npz",
    ]
    told = t1c("run", "net.t1c", "data/part0.npz", "data/part0.dat", "-o", "results")
    assert told.exit_code == 1
    assert "would have their results in results/part0.npz" in told.stderr.replace("data/", "")


def test_where_results_of_several_files_cannot_go(t1c, parts):
    told = t1c("run", "net.t1c", "data")
    assert told.exit_code == 2
    assert "need a folder for their results: -o" in told.stderr
    assert "would replace" in t1c("run", "net.t1c", "data", "-o", "data").stderr
    assert "no file matches" in t1c("run", "net.t1c", "data/x*.npz", "-o", "results").stderr
    Path("taken").touch()
    assert t1c("run", "net.t1c", "data", "-o", "taken").exit_code == 1
    assert not Path("results").exists()


def test_one_file_into_a_folder(t1c):
    Path("there").mkdir()
    assert t1c("run", "net.t1c", "data.npz", "-o", "there").exit_code == 0
    assert t1c("run", "net.t1c", "data.npz", "-o", "new/").exit_code == 0
    for folder in ("there", "new"):
        result = np.load(f"{folder}/data.npz")["out_sum"]
        np.testing.assert_array_equal(result, counts(network(), samples()))


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_where_it_stopped(t1c, parts):
    many = 60
    for i in range(many):
        np.savez(f"data/many{i:02}.npz", x=samples(count=400, steps=60, seed=i))
    command = [*COMMAND, "run", "net.t1c", "data/many*.npz", "-o", "results"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        end = time.monotonic() + 240
        while len(list(Path("results").glob("many*.npz"))) < 2:
            assert running.poll() is None
            assert time.monotonic() < end
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
    whole = sorted(Path("results").glob("many*.npz"))
    assert 2 <= len(whole) < many
    for path in whole:
        with np.load(path) as results:
            assert results["out_sum"].any()
    found = statuses(t1c("run", "net.t1c", "data/many*.npz", "-o", "results", "--json"))
    assert found.count("finished") == len(whole)
    assert found.count("done") == many - len(whole)
    for i in (0, many - 1):
        with np.load(f"results/many{i:02}.npz") as results:
            expected = counts(network(), samples(count=400, steps=60, seed=i))
            np.testing.assert_array_equal(results["out_sum"], expected)


@pytest.mark.slow
def test_a_command_that_is_ended_leaves_nothing_half_written(t1c):
    spikes = samples(count=500, steps=1) > 0.5
    np.savez("long.npz", x=np.broadcast_to(spikes, (20000, 500, 3)))
    with subprocess.Popen([*COMMAND, "run", "net.t1c", "long.npz", "-o", "out.npz"]) as running:
        end = time.monotonic() + 240
        while not list(Path().glob(".out.npz.*.t1c-tmp")):
            assert running.poll() is None
            assert time.monotonic() < end
            time.sleep(0.005)
        running.terminate()
    assert running.returncode == 128 + signal.SIGTERM
    assert sorted(os.listdir()) == ["data.npz", "long.npz", "net.t1c"]


# Times -----------------------------------------------------------------------------------------


def test_compiling_is_not_counted_as_running():
    given = sdk.Samples({"input": samples(count=20)})
    runner = sdk.Runner(network())
    first, second = runner.run(given), runner.run(given)
    assert first.compiling > 0
    assert second.compiling == 0
    expected = counts(network(), samples(count=20))
    for result in (first, second):
        np.testing.assert_array_equal(result.out_sum["output"], expected)


def test_times_are_told_apart(t1c):
    rows = dict(
        line.split("  ", 1) for line in t1c("run", "net.t1c", "data.npz").stdout.splitlines()
    )
    assert "per sample" in rows["time"]
    assert "loading PyTorch and the files" in rows["before that"]
    assert rows["before that"].endswith(" compiling")
    found = json.loads(t1c("run", "net.t1c", "data.npz", "--json").stdout)
    assert found["loading_seconds"] > 0
    assert found["compiling_seconds"] > 0


def test_what_is_done_is_said_in_order(t1c):
    said = []
    sdk.run_file("net.t1c", "data.npz", stage=said.append, progress=lambda *_: said.append("runs"))
    assert [s for i, s in enumerate(said) if s != "runs" or said[i - 1] != "runs"] == [
        "loading PyTorch",
        "reading",
        "compiling, or loading what was compiled before",
        "runs",
        "writing",
    ]


def test_a_terminal_is_shown_what_is_done(t1c):
    shown = t1c("run", "net.t1c", "data.npz", env={"FORCE_COLOR": "1"}).stderr
    for words in ("loading PyTorch", "compiling", "samples"):
        assert words in shown


# Terminals -------------------------------------------------------------------------------------


EACH = """
import json, os, sys
from t1c.cli import main

for variables, arguments in json.loads(sys.argv[1]):
    os.environ.update(variables)
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)
    print(end="\\f", flush=True)
"""


def on_terminal(*commands):
    """What commands, in one process, write on a terminal.

    Each is (arguments, variables of the environment); these stay for those that follow.
    """
    main, end = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    given = [
        ({"TERM": "xterm-256color", **variables}, arguments) for arguments, variables in commands
    ]
    command = [sys.executable, "-c", EACH, json.dumps(given)]
    with subprocess.Popen(command, stdout=end, stderr=end, env=env) as running:
        os.close(end)
        written = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:
                break
            if not piece:
                break
            written += piece
    os.close(main)
    assert running.returncode == 0
    *told, after = written.decode().replace("\r\n", "\n").split("\f")
    assert (len(told), after) == (len(commands), "")
    return told


def plain(columns, *commands):
    """The same commands without colors, on a terminal of so many columns."""
    return [(arguments, {"COLUMNS": str(columns), "NO_COLOR": "1"}) for arguments in commands]


def test_no_color_means_no_codes_at_all(t1c):
    commands = (["info", "net.t1c"], ["-h"], ["run", "-h"], ["primitives"])
    colored, *others = on_terminal((["info", "net.t1c"], {"COLUMNS": "60"}), *plain(60, *commands))
    assert "\x1b[1m" in colored
    assert len(others) == len(commands)
    for told in others:
        assert told.strip()
        assert "\x1b" not in told


def test_a_narrow_terminal_is_kept_to_and_nothing_is_lost(t1c):
    note = " ".join(f"word{i}" for i in range(40))
    ir.write("net.t1c", network(note=note, path="x" * 150))
    commands = (["info", "net.t1c"], ["primitives", "Conv2d"], ["validate", "net.t1c"])
    names = ["convolution1", "lif_after_it", "flatten"]
    nodes = (ir.Conv2d(np.ones((16, 1, 3, 3)), np.ones(16)), lif(0.5), ir.Flatten())
    inner = zip(names, nodes, strict=True)
    graph = chain(("input", ir.Input((1, 8, 8))), *inner, ("output", ir.Output((576,))))
    ir.write("long names.t1c", graph)
    info, analyze = ["info", "long names.t1c"], ["analyze", "long names.t1c"]
    narrow = plain(60, *commands)
    columns = (50, 50, 40, 40)
    very = [*plain(50, info, analyze), *plain(40, info, analyze)]
    all_told = on_terminal(*narrow, *very, *plain(100, info))

    for told in all_told[:3]:
        lines = told.splitlines()
        assert max(map(len, lines)) <= 60
        assert not any("…" in line for line in lines)
    told = all_told[0]
    assert all(f"word{i}" in told.split() for i in range(40))
    assert told.count("x") >= 150
    # In a pipe no line is broken.
    assert f"note  {note}" in t1c("info", "net.t1c").stdout

    # No word is split on a very narrow one.
    for width, told in zip(columns, all_told[3:7], strict=True):
        assert max(map(len, told.splitlines())) <= width
        for name, shape in zip(names, ("(16, 6, 6)", "(16, 6, 6)", "(576,)"), strict=True):
            assert name in told.split()
            assert shape in told
    (row,) = [line for line in all_told[7].splitlines() if line.startswith("flatten")]
    assert row.split()[:3] == ["flatten", "Flatten", "(576,)"]  # a table where there is room


def test_long_lines_go_on_below_their_beginning():
    line = "  nodes       " + "; ".join(f"number{i} equal" for i in range(9))
    first, *others = terminal._hanging(line, 50).splitlines()
    assert first.startswith("  nodes       number0")
    assert others
    assert all(line.startswith(" " * 14 + "number") or line[14] != " " for line in others)
    assert terminal._hanging("short", 50) == "short"


def test_whoever_stops_reading_is_not_told_of_an_error(t1c):
    done = subprocess.run(
        f"{' '.join(COMMAND)} primitives | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith("primitive ")
    assert done.stderr == ""


# validate and primitives -----------------------------------------------------------------------


def test_validate_answers_by_its_status_and_lists_all(t1c):
    good = t1c("validate", "net.t1c")
    assert (good.exit_code, good.stdout) == (0, "net.t1c is valid: 4 nodes\n")
    bad = t1c("validate", broken())
    assert bad.exit_code == 1
    assert bad.stdout.startswith("broken.t1c is NOT valid: 2 problems\n  1. node 'fc'")
    found = json.loads(t1c("validate", "broken.t1c", "--json").stdout)
    assert (found["valid"], found["nodes"], found["kind"]) == (False, None, "T1CFormatError")
    assert len(found["problems"]) == 2
    Path("text.t1c").write_text("text")
    assert t1c("validate", "text.t1c").stdout == (
        "text.t1c is NOT valid: 1 problem\n"
        "  1. a text file, not an HDF5 file; expected a .t1c file. "
        "A network is what t1c.ir.write has written.\n"
    )
    assert t1c("validate", DATA / "nir" / "lif.nir").exit_code == 2
    assert t1c("validate", DATA / "nir" / "lif.nir", "--dt", "0.1ms").exit_code == 0


def test_validate_tells_what_has_no_effect(t1c):
    graph = network()
    graph.nodes["dead"] = lif(0.25)
    graph.edges.append(("fc", "dead"))
    graph.check()
    ir.write("net.t1c", graph)
    result = t1c("validate", "net.t1c")
    assert result.exit_code == 0
    assert "warning: 'dead': no path leads" in result.stdout


@pytest.mark.parametrize("path", sorted((DATA / "t1cir").glob("*.t1c")), ids=lambda p: p.stem)
def test_validate_agrees_with_reading(t1c, path):
    try:
        ir.read(path)
    except ir.T1CError as error:
        expected = 1, len(error.problems)
    else:
        expected = 0, 0
    result = t1c("validate", path, "--json")
    assert (result.exit_code, len(json.loads(result.stdout)["problems"])) == expected


def test_primitives_are_those_that_are_declared(t1c):
    found = json.loads(t1c("primitives", "--json").stdout)
    assert sorted(p["name"] for p in found["primitives"]) == sorted(ir.list_primitives())
    told = {p["name"]: p for p in found["primitives"]}
    assert told["LIF"]["state"] == ["v"]
    assert told["CubaLIF"]["state"] == ["i", "v"]
    assert (told["LIF"]["since"], told["IF"]["since"], told["Where"]["since"]) == (
        "0.0.1", "0.1.0", "0.2.0",
    )  # fmt: skip
    fields = {f["name"]: f for f in told["LIF"]["fields"]}
    assert (fields["tau"]["required"], fields["tau"]["since"]) == (True, "0.0.1")
    assert (fields["fires_at"]["default"], fields["fires_at"]["since"]) == ("'ge'", "0.1.0")
    assert "IF " in t1c("primitives").stdout
    one = t1c("primitives", "Skip").stdout
    assert "one of 'residual', 'concatenate', 'passthrough'" in one


def test_quantize_is_refused_in_the_words_of_the_command_line(t1c):
    model = DATA.parent.parent / "examples" / "digits.t1c"
    unknown = t1c("quantize", model, "-o", "small.t1c")
    assert unknown.exit_code == 1
    assert "--calibrate DATA" in unknown.stderr
    wrong = t1c("quantize", model, "-o", "small.onnx", "--spikes")
    assert wrong.exit_code != 0
    assert "expected .t1c" in wrong.stderr
    ir.write("gelu.t1c", chain(
        ("in", ir.Input((4,))), ("bent", ir.GELU(4)), ("out", ir.Output((4,)))
    ))  # fmt: skip
    real = t1c("quantize", "gelu.t1c", "-o", "small.t1c", "--spikes")
    assert real.exit_code == 1
    assert "--keep bent leaves it in real numbers" in " ".join(real.stderr.split())


def test_nir_files_become_c_with_the_step_that_is_said(t1c):
    source = DATA / "nir" / "lif.nir"
    asked = t1c("deploy", "c", source, "-o", "lif_c")
    assert asked.exit_code == 1
    assert "--dt" in asked.stderr
    assert t1c("deploy", "c", source, "-o", "lif_c", "--dt", "100us").exit_code == 0
    assert Path("lif_c", "model.c").exists()
