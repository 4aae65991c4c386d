"""What an installed t1c must do, in whatever environment runs this; it ends with one line of facts.

    python release/trial.py            an installation without extras
    python release/trial.py --torch    one with the extra snntorch

`release/wheels.py` runs it in clean environments. Only what is installed is tried: the checkout
lends the network and its inputs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from t1c import __version__, ir

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "examples" / "digits.t1c"
INPUTS = ROOT / "examples" / "digits_test.npz"
DIGITS = 100


def main() -> None:
    """Tries, says what was seen, and fails at the first thing that is not as it must be."""
    where = Path(ir.__file__)
    expect(not where.is_relative_to(ROOT / "src"), f"the checkout is tried, not a wheel: {where}")
    graph = ir.read(MODEL)
    xs, spikes, right = run_reference(graph)
    facts = [f"t1c {__version__}", f"{right} of {DIGITS} digits", "a file there and back"]
    write_and_read(graph)
    started = python("import sys; print(*sorted(sys.modules))").split()
    shown = command("info", str(MODEL))
    expect("lif3" in shown and "1,290" in shown, f"t1c info prints:\n{shown}")
    facts.append("t1c info")
    if "--torch" in sys.argv[1:]:
        facts += with_torch(xs, spikes)
    else:
        expect("t1c" not in started, "a plain installation runs code when Python starts")
        expect(find_spec("torch") is None, "there is a torch: not an installation without extras")
        refused = python("import t1c.bridge", fails=True)
        expect("pip install 't1c[torch]'" in refused, f"t1c.bridge without torch says:\n{refused}")
        facts.append("no torch, no start-up code")
    sys.stdout.write(", ".join(facts) + "\n")


def run_reference(graph: ir.Graph) -> tuple[np.ndarray, np.ndarray, int]:
    """Inputs (T, B, 1, 8, 8), the spikes (T, B, 10) that they give, and how many are read right."""
    with np.load(INPUTS) as data:
        images, labels = data["x"][:DIGITS], data["y"][:DIGITS]
        xs = np.stack([images] * int(data["steps"]))
    spikes, _ = ir.Reference(graph, np.float32).run(xs)
    right = int((spikes.sum(0).argmax(1) == labels).sum())
    expect(right >= 0.95 * DIGITS, f"only {right} of {DIGITS} digits are read right")
    return xs, spikes, right


def write_and_read(graph: ir.Graph) -> None:
    """The file that this installation writes, read by it again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "again.t1c"
        ir.write(path, graph)
        expect(graph.equals(ir.read(path)), "a graph is not what it was after write and read")


def with_torch(xs: np.ndarray, spikes: np.ndarray) -> list[str]:
    """The same spikes in PyTorch, snnTorch's import in a fresh Python, and the demo."""
    import torch

    from t1c import bridge

    with torch.no_grad():
        found, _ = bridge.ir_to_torch(MODEL).run(torch.from_numpy(xs))
    differing = int((found.numpy() != spikes).sum())
    # Off the grid a spike within rounding of its threshold may differ; here none does by far.
    expect(differing <= 2 < spikes.sum(), f"{differing} of {spikes.size:,} outputs differ")
    imported = python(
        "from snntorch.import_t1cir import import_from_ir\n"
        f"print(type(import_from_ir({str(MODEL)!r})).__name__)"
    )
    expect(imported.split() == ["GraphExecutor"], f"import_from_ir gives {imported}")
    demo = run([sys.executable, str(ROOT / "examples" / "digits_demo.py")])
    expect("446 of 450 digits" in demo, f"the demo prints:\n{demo}")
    return [
        f"torch {torch.__version__}",
        f"{int(spikes.sum()):,} spikes in PyTorch, {differing} of {spikes.size:,} outputs differ",
        "snntorch.import_t1cir",
        "the demo",
    ]


def python(code: str, fails: bool = False) -> str:
    """What a fresh Python of this environment prints."""
    return run([sys.executable, "-W", "ignore", "-c", code], fails)


def command(*words: str) -> str:
    """What the installed command prints."""
    return run([str(Path(sys.executable).with_name("t1c")), *words])


def run(words: list[str], fails: bool = False) -> str:
    """What a process prints, its errors included; it must succeed, or fail, as is said."""
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    expect((done.returncode != 0) == fails, f"{words} ends with {done.returncode}:\n{done.stdout}")
    return done.stdout


def expect(true: bool, otherwise: str) -> None:
    """Ends the trial with a message where something is not as it must be."""
    if not true:
        sys.exit(f"trial: {otherwise}")


if __name__ == "__main__":
    main()
