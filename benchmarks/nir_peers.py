"""What one NIR file means to whom: this project and its peers import the same files.

`make peers` runs this in an environment of its own. Every file of tests/data/nir is
imported by every framework with its own public importer (`nir_peers_worker.py` has how),
fed the same input step by step with its state carried, and its output is compared with
the output that NIR's equations define, which is stored beside the file. Each framework
has a process of its own, which is started again after a case that killed or stalled it.

Where a framework can be used in several ways, all are tried and the one that serves it
best counts. The table goes to standard output and, with everything that was measured and
the full error texts as JSON beside it, into --out; --page puts it between the two marker
lines of a page that has them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import nir_peers_files
import numpy as np
from nir_peers_worker import TRIES
from pages import put_into

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "tests" / "data" / "nir"

FRAMEWORKS = {
    "t1c": "t1c",
    "snntorch": "snnTorch",
    "norse": "Norse",
    "sinabs": "sinabs",
    "spikingjelly": "SpikingJelly",
}
PACKAGES = ["t1c", "snntorch", "norse", "sinabs", "spikingjelly", "nir", "nirtorch", "torch"]

# The files of the table; all others are run and counted too.
CASES = {
    "linear": "a Linear",
    "affine": "an Affine, bias included",
    "conv2d_stride_pad": "a Conv2d with stride and padding",
    "conv2d_groups": "a Conv2d in groups",
    "sumpool2d_pad": "a SumPool2d with padding",
    "flatten_all": "Flatten(0, -1), which never touches the batch",
    "threshold": "a Threshold, met exactly: no spike",
    "delay": "a Delay of its own for each element",
    "li": "an LI, r not 1",
    "lif": "a LIF, r = 1",
    "lif_r": "a LIF, r not 1",
    "lif_leak_reset": "a LIF with v_leak and v_reset",
    "if_dt1": "an IF, dt = 1",
    "if_tie": "an IF that meets its threshold exactly: no spike",
    "cubalif": "a CubaLIF",
    "uniform_lif": "a LIF, all neurons alike, dt = 1e-4 s",
    "uniform_if": "an IF, all neurons alike, dt = 1",
    "uniform_cubalif": "a CubaLIF, all neurons alike, dt = 1e-4 s",
    "merge_equal": "two edges into one LIF: summed",
    "subgraph": "a graph in a graph",
    "recurrent_self": "a LIF wired to itself",
    "recurrent_affine": "a CubaLIF with recurrent weights and bias",
    "subgraph_recurrent": "a recurrent CubaLIF as a graph in a graph",
}


@dataclass
class Verdict:
    """What became of one try of one file with one framework."""

    outcome: str
    """same, differs, refused, or crash."""
    text: str
    """What the table says."""
    distance: float = 0.0
    """For choosing among tries that differ: the share of wrong elements."""
    number: int = 0
    said: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)


# --- judging --------------------------------------------------------------------------


def judge(result: dict[str, Any], right: dict[str, Any], alts: dict[str, Any]) -> Verdict:
    """Compares what came out with what NIR defines, and names a known deviation."""
    if result.keys() != right.keys():
        return Verdict("differs", f"{len(result)} output(s) instead of {len(right)}", np.inf)
    for name, y in right.items():
        if result[name].shape != y.shape:
            kept = result[name].shape[:2] == y.shape[:2]
            got, wanted = (_size(a.shape[1 + kept :]) for a in (result[name], y))
            which = "sample" if kept else "batch"
            return Verdict("differs", f"each {which} gives {got}, not {wanted}", np.inf)
    wrong = sum(int((~_close(result[name], y)).sum()) for name, y in right.items())
    total = sum(y.size for y in right.values())
    if not wrong:
        return Verdict("same", "same")
    if all(np.isin(y, (0, 1)).all() for y in right.values()):
        whole = all((y == np.round(y)).all() for y in result.values())
        text = f"{wrong} of {total} spikes differ" if whole else "no spikes, but other values"
    else:
        error = max(np.abs(result[name] - y).max() for name, y in right.items())
        text = f"{wrong} of {total} values differ, by up to {error:.2g}"
    names = [name for name, y in alts.items() if _alike(result, right, y)]
    if names:
        text += f", as alt: {', '.join(names)}"
    return Verdict("differs", text, wrong / total)


def _close(a: Any, b: Any) -> Any:
    return np.isclose(a, b, rtol=1e-4, atol=1e-5)


def _alike(result: dict[str, Any], right: dict[str, Any], alt: Any) -> bool:
    return list(right) == [""] and alt.shape == result[""].shape and _close(result[""], alt).all()


def _size(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "one value"


def told(record: dict[str, Any]) -> Verdict:
    """The verdict on a try that gave no output, with its reason made short."""
    message = re.sub(r"<class '[\w.]*?(\w+)'>", r"\1", " ".join(record["message"].split()))
    message = re.sub(r", mapping does not exist in node_map$", "", message)
    message = re.sub(r"^(Type inference error): .*", r"\1", message)
    sentence = re.split(r"(?<=[a-z)])\. ", message)[0].rstrip(".")
    short = sentence if len(sentence) <= 72 else sentence[:70].rsplit(" ", 1)[0] + " …"
    if record["outcome"] == "crash" and record["error"]:
        short = f"{record['error']}: {short}"
    return Verdict(record["outcome"], short)


def best(tries: list[Verdict]) -> Verdict:
    """The try that serves the framework best.

    A right result wins. Otherwise the first try stands where it refused, being an honest
    answer; where it ran, the one nearest to right; where it crashed, the first that ran.
    """
    first = tries[0]
    right = [v for v in tries if v.outcome == "same"]
    if right:
        return right[0]
    if first.outcome == "differs":
        return min((v for v in tries if v.outcome == "differs"), key=lambda v: v.distance)
    if first.outcome == "crash":
        return next((v for v in tries if v.outcome == "differs"), first)
    return first


# --- running --------------------------------------------------------------------------


def measure(framework: str, names: list[str], data: Path, timeout: float) -> dict[str, Verdict]:
    """What a framework makes of the files, by name."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        _work(framework, names, data, out, timeout)
        return {
            name: best([_verdict(name, k, data, out) for k in range(len(TRIES[framework]))])
            for name in names
        }


def _work(framework: str, names: list[str], data: Path, out: Path, timeout: float) -> None:
    """Runs the worker until every case has its records, whatever happens to it."""
    count = len(TRIES[framework])
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",  # nirtorch's networks depend on the order of a set
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(out),
    }
    todo = list(names)
    while todo:
        command = [sys.executable, str(HERE / "nir_peers_worker.py"), framework]
        end = _watched([*command, str(data), str(out), *todo], environment, out, timeout)
        while todo and all((out / f"{todo[0]}.{k}.json").exists() for k in range(count)):
            todo.pop(0)
        if todo:  # the try it died at counts as a crash, and those after it are not made
            record = {"outcome": "crash", "error": "", "message": end, "said": []}
            for k in range(count):
                path = out / f"{todo[0]}.{k}.json"
                if not path.exists():
                    path.write_text(json.dumps(record), encoding="utf-8")
            todo.pop(0)


def _watched(command: list[str], environment: dict[str, str], out: Path, timeout: float) -> str:
    """Runs a worker for as long as it makes progress, and says how it ended."""
    errors = out / "stderr"
    with errors.open("wb") as stream:
        worker = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=stream
        )
        written, since = -1, time.monotonic()
        while worker.poll() is None:
            count = len(list(out.glob("*.json")))
            if count != written:
                written, since = count, time.monotonic()
            elif time.monotonic() - since > timeout:
                worker.kill()
                worker.wait()
                return f"no end within {timeout:g} s"
            time.sleep(0.1)
    said = errors.read_text(encoding="utf-8", errors="replace")[-2000:]
    return f"the process ended with {worker.returncode}: {said}"


def _verdict(name: str, number: int, data: Path, out: Path) -> Verdict:
    record = json.loads((out / f"{name}.{number}.json").read_text(encoding="utf-8"))
    if record["outcome"] == "ran":
        fixture, result = np.load(data / f"{name}.npz"), np.load(out / f"{name}.{number}.npz")
        verdict = judge(
            {key[2:]: result[key] for key in result},
            {key[2:]: fixture[key] for key in fixture if key == "y" or key.startswith("y:")},
            {key[4:]: fixture[key] for key in fixture if key.startswith("alt:")},
        )
    else:
        verdict = told(record)
    verdict.number, verdict.said, verdict.record = number, record["said"], record
    return verdict


# --- writing --------------------------------------------------------------------------


def table(results: dict[str, dict[str, Verdict]], names: list[str]) -> str:
    """The Markdown table, with all that is needed to read it below."""
    notes: list[str] = []

    def note(text: str) -> str:
        if text not in notes:
            notes.append(text)
        return str(notes.index(text) + 1)

    def cell(framework: str, name: str) -> str:
        verdict = results[framework][name]
        text = verdict.text.replace("|", "\\|").replace("<", "&lt;")
        if verdict.outcome == "differs":
            text = f"**{text}**"
        elif verdict.outcome != "same":
            text = f"{verdict.outcome}: {'*' if verdict.outcome == 'refused' else ''}{text}"
            text += "*" if verdict.outcome == "refused" else ""
        marks = []
        if verdict.number:
            way = TRIES[framework][verdict.number].note
            marks.append(note(f"{FRAMEWORKS[framework]}, {way}."))
        if verdict.outcome == "differs":
            marks += [note(f"With a warning: “{_shown(said)}”") for said in verdict.said]
        return text + (f"<sup>{', '.join(marks)}</sup>" if marks else "")

    rows = [["file", *FRAMEWORKS.values()], ["---"] * (1 + len(FRAMEWORKS))]
    rows += [
        [f"`{name}`: {about}", *(cell(key, name) for key in FRAMEWORKS)]
        for name, about in CASES.items()
        if name in names
    ]
    for outcome in ("same", "differs", "refused", "crash"):
        counts = [
            str(sum(v.outcome == outcome for v in results[key].values())) for key in FRAMEWORKS
        ]
        rows.append([f"of all {len(names)} files: {outcome}", *counts])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", *(f"{k}. {text}" for k, text in enumerate(notes, 1)), "", *legend()]
    return "\n".join(lines) + "\n"


def _shown(said: str) -> str:
    """A warning, without what it says of numbers and after its first sentence."""
    text = re.sub(r" \(with mean [^)]*\)", "", said.replace("|", "\\|").replace("<", "&lt;"))
    return re.split(r"(?<=[a-z)])\. ?", text)[0]


def legend() -> list[str]:
    """How to read the table, and what was run how, in which versions."""
    versions = [f"{name} {_version(name)}" for name in PACKAGES]
    return [
        "*same*: the same spikes, or values within 1e-4 of NIR's. **Bold**: the file was taken "
        "and something else was computed; *as alt: NAME* means exactly what a reader gives that "
        "takes the reset as a subtraction (`subtract`), fires at >= (`ge`), or has the recurrent "
        "bias act from the second step (`current`). *refused*: the importer says that it does "
        "not take the file. *crash*: any other error. (Norse and sinabs leave out, without a word, "
        "what they do not know; “empty graph” is nirtorch's word for nothing being left.)",
        "",
        "Every file is run over 40 steps with a batch of 3 in float32, state carried. The files "
        "`uniform_*` are made by the command, in the form that the peers' own exporters write; "
        "all others are tests/data/nir, where every neuron has parameters of its own. Where there "
        "are several ways to use a framework, the one that comes nearest to NIR counts; a number "
        "marks cells where that is not the first:",
        "",
        *(f"- {FRAMEWORKS[key]}: {'; or, '.join(t.note for t in TRIES[key])}" for key in TRIES),
        "",
        f"Measured by `make peers` with {', '.join(versions)} (CPU) and Python "
        f"{platform.python_version()}.",
    ]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the files")
    parser.add_argument("--out", type=Path, default=Path("build/peers"), help="where to write")
    parser.add_argument("--page", type=Path, help="a page with the two marker lines")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one file")
    options = parser.parse_args()

    results: dict[str, dict[str, Verdict]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        files = sorted(p for p in options.data.glob("*.nir") if p.with_suffix(".npz").exists())
        if not files:
            parser.error(f"no files in {options.data}")
        for path in files:
            shutil.copy(path, data)
            shutil.copy(path.with_suffix(".npz"), data)
        nir_peers_files.write(data)
        names = [path.stem for path in files] + list(nir_peers_files.FILES)
        for key, title in FRAMEWORKS.items():
            sys.stderr.write(f"== {title}\n")
            results[key] = measure(key, names, data, options.timeout)

    text = table(results, names)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "nir_peers.md").write_text(text, encoding="utf-8")
    everything = {
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "tries": {key: [t.note for t in tries] for key, tries in TRIES.items()},
        "results": {
            key: {name: asdict(verdict) for name, verdict in verdicts.items()}
            for key, verdicts in results.items()
        },
    }
    (options.out / "nir_peers.json").write_text(
        json.dumps(everything, indent=1, ensure_ascii=False, default=float) + "\n",
        encoding="utf-8",
    )
    sys.stdout.write(text)
    if options.page:
        put_into(options.page, text, "make peers")


if __name__ == "__main__":
    main()
