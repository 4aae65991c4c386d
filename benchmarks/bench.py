"""How fast t1c is, beside its peers and the products that its networks contain.

`make bench` runs this in the environment of the peers; `make bench ROWS=conv,step` measures
some rows only. All candidates of a row are timed in one process in alternation, memory in a
process for each. The table goes to standard output, what was measured to results.json, and
both tables and the figure into the pages that show them. Rows that are not measured keep what
results.json says of them if that was measured on the same machine with the same versions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from pages import put_into
from speed import apart, table
from speed.machine import describe
from speed.measure import measure
from speed.row import Row
from speed.rows import ROWS

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"


def main() -> None:
    """Measures and writes."""
    options = _options()
    torch.set_num_threads(options.threads)
    if options.peak or options.stream:
        _answer(options)
        return
    options.results = options.results or HERE / f"results{_suffix(options.device)}.json"
    results = _load(options.results)
    if not options.draw:
        chosen = [row for row in ROWS if not options.rows or row.key in options.rows]
        results = _measured(chosen, results, options)
    text = table.targets(results["rows"])
    sys.stdout.write(f"{text}\n{table.everything(results['rows'])}")
    if options.pages:
        _show(results, options.device)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    keys = ", ".join(row.key for row in ROWS)
    parser.add_argument("--rows", type=_names, default=[], help=f"some of: {keys}")
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    parser.add_argument("--device", type=torch.device, default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--seconds", type=float, default=20, help="for the rounds of a row (20)")
    parser.add_argument("--results", type=Path, help="where to write (results.json)")
    parser.add_argument("--pages", action="store_true", help="write the tables into the pages")
    parser.add_argument("--draw", action="store_true", help="measure nothing, show the results")
    parser.add_argument("--peak", metavar="ROW:CANDIDATE", help=argparse.SUPPRESS)
    parser.add_argument("--stream", metavar="ROW:STEPS", help=argparse.SUPPRESS)
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = [name for name in text.replace(",", " ").split() if name]
    unknown = set(names) - {row.key for row in ROWS}
    if unknown:
        raise argparse.ArgumentTypeError(f"no row is called {', '.join(sorted(unknown))}")
    return names


def _answer(options: argparse.Namespace) -> None:
    """What `measure` asks of a process of its own."""
    key, what = (options.peak or options.stream).split(":", 1)
    row = next(row for row in ROWS if row.key == key)
    if options.peak:
        answer = apart.training_peak(row, what, options.device)
    else:
        answer = apart.stream(row, int(what), options.device)
    sys.stdout.write(json.dumps(answer) + "\n")


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"machine": {}, "rows": []}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def _measured(
    chosen: list[Row], before: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    machine, commit = describe(options.device), _commit()
    kept = before["rows"] if before["machine"] == machine else []
    if before["rows"] and not kept:
        sys.stderr.write("another machine or other versions: older results are dropped\n")
    results = {"machine": machine, "rows": kept}
    found: dict[str, dict[str, Any]] = {record["key"]: record for record in kept}
    for row in chosen:
        start = time.perf_counter()
        sys.stderr.write(f"== {row.title}\n")
        for record in measure(row, options.seconds, options.device):
            found[record["key"]] = {**record, "commit": commit}
        rows = sorted(found.values(), key=lambda record: _place(record["key"]))
        results = {"machine": machine, "rows": rows}
        sys.stderr.write(f"   {time.perf_counter() - start:.0f} s\n")
        _write(options.results, results)  # what was measured stays if a later row is stopped
    return results


def _commit() -> str:
    """The state of the code: a row measured on its own may be newer than its neighbours."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _write(path: Path, results: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_rounded(results), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _place(key: str) -> int:
    """Where a record stands: with its row; a stream's records have its name and more."""
    order = [row.key for row in ROWS]
    return order.index(key if key in order else key.rsplit("-", 1)[0])


def _rounded(value: Any) -> Any:
    """Six digits are more than was measured."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(own) for key, own in value.items()}
    return [_rounded(own) for own in value] if isinstance(value, list) else value


def _show(results: dict[str, Any], device: torch.device) -> None:
    from speed.plot import draw

    records, machine = results["rows"], results["machine"]
    figure = DOCS / "img" / f"performance{_suffix(device)}.svg"
    draw(records, figure)
    whole = "\n".join(
        [
            table.targets(records),
            f"![Times what t1c needs](img/{figure.name})\n",
            table.everything(records),
            table.notes(records, machine),
        ]
    )
    command = "make bench" + (f" DEVICE={device.type}" if _suffix(device) else "")
    put_into(DOCS / "performance.md", whole + "\n", command)
    if not _suffix(device):
        short = f"{table.summary(records)}\n{table.measured_on(machine)}\n"
        put_into(HERE.parent / "README.md", short, command)


def _suffix(device: torch.device) -> str:
    """What tells apart the files of a device."""
    return "" if device.type == "cpu" else f"-{device.type}"


if __name__ == "__main__":
    main()
