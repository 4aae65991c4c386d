"""Every command in docs/cli.md runs, and prints what the page says.

In a ``console`` block a line that begins with ``$`` is a command, and what stands below it is what
it prints, on standard output and error together. Spaces, the rules of tables and durations may
differ.
"""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from t1c import ir
from t1c.cli import app
from t1c.cli.usage import GROUPS
from t1c.events.fields import EVENT

from .engine_helpers import lif
from .strategies_executor import chain

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "cli.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DURATION = re.compile(r"\b\d[\d.e+-]* m?s\b|(?<=seconds\": )[\d.e-]+|(?<=per_sample\": )[\d.e-]+")


def commands():
    """Pairs of a command and what it prints."""
    for block in BLOCK.findall(PAGE.read_text()):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = entry.partition("\n")
            yield command, printed


def run(command):
    """What a command prints."""
    command, _, echo = command.partition("; echo ")
    before, _, piped = command.rpartition(" | ")
    given = Path(before.removeprefix("cat ")).read_bytes() if before else None
    name, *arguments = shlex.split(piped)
    assert name == "t1c"
    result = CliRunner().invoke(app, arguments, input=given)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    if not echo:
        assert result.exit_code == 0, result.output
    return result.output.rstrip("\n") + ("\n" + str(result.exit_code) if echo else "") + "\n"


def tidy(text):
    lines = [" ".join(DURATION.sub("#", line).split()) for line in text.strip().splitlines()]
    return [re.sub("─+", "─", line) for line in lines]


def prepare():
    """Put the files that the page speaks of into the working folder."""
    Path("examples").mkdir()
    for name in ("digits.t1c", "digits_test.npz"):
        shutil.copy(ROOT / "examples" / name, Path("examples") / name)
    shutil.copy(ROOT / "tests" / "data" / "nir" / "lif.nir", "model.nir")
    with np.load("examples/digits_test.npz") as data:
        np.savez("few.npz", x=data["x"][:8], y=data["y"][:8], steps=data["steps"])
    graph = ir.read("examples/digits.t1c")
    nodes = dict(graph.nodes)
    nodes["lif3"] = nodes["lif3"].replace(v_threshold=np.array([1.25]))
    ir.write("old.t1c", graph.replace(nodes=nodes, metadata={**graph.metadata, "accuracy": 0.92}))
    record_a_hand()


def record_a_hand():
    """A recording of 34 x 34 pixels, and a network for it."""
    rng = np.random.default_rng(0)
    hand = np.empty(5000, EVENT)
    hand["x"], hand["y"] = rng.integers(0, 34, (2, 5000))
    hand["t"], hand["p"] = np.sort(rng.integers(0, 300_000, 5000)), rng.integers(0, 2, 5000)
    np.save("hand.npy", hand)
    weight = rng.integers(-64, 65, (10, 2 * 34 * 34)) / 256
    camera = chain(
        ("input", ir.Input((2, 34, 34))),
        ("flatten", ir.Flatten()),
        ("fc", ir.Affine(weight, np.zeros(10))),
        ("lif", lif()),
        ("output", ir.Output((10,))),
    )
    ir.write("camera.t1c", camera)


def test_every_command_prints_what_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare()
    found = 0
    for command, promised in commands():
        printed = run(command)
        assert tidy(printed) == tidy(promised), command
        found += 1
    assert found > 25


def test_every_verb_is_on_the_page():
    text = PAGE.read_text()
    shown = {command.split(" | ")[-1].split()[1] for command, _ in commands()}
    # One opens a browser, one prints what another page holds.
    for verb in {verb for group in GROUPS.values() for verb in group} - {"visualize", "rules"}:
        assert verb in shown
    assert "`t1c visualize MODEL`" in text
    assert "`t1c rules`" in text
