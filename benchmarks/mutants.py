"""Changes the code of `t1c.ir` in small ways, one at a time, and counts which the tests notice.

    python benchmarks/mutants.py [--only interval,topology] [--page docs/mutants.md]

`make mutants` runs this. mutmut makes the mutants, in a copy of the checkout; for each file those
tests run that are its own, so that a mutant costs a second and not a suite. What survives is shown
as a difference of code: a test is missing, or the change means nothing. Rows of a page whose files
are not run again stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pages import put_into

ROOT = Path(__file__).resolve().parent.parent
OWN = {
    "interval": ["test_interval"],
    "topology": ["test_topology"],
    "ranges": ["test_ranges", "test_interval"],
    "shape_flow": ["test_graph", "test_errors", "test_topology"],
    "graph_checks": ["test_errors", "test_graph", "test_topology"],
    "graph": ["test_node", "test_graph", "test_errors", "test_flat"],
    "node": ["test_node", "test_errors", "test_graph", "test_macs"],
    "fields": ["test_fields", "test_errors"],
    "flat": ["test_flat", "test_graph"],
    "step_plan": ["test_flat", "test_ranges"],
    "reference": ["test_reference", "test_errors"],
}
"""File of `t1c.ir` -> the tests that are its own."""
# What a mutant leaves behind is not looked for: collecting all of it costs half a second. Nor does
# it matter here which file a warning names: mutmut calls what it changes from a file of its own.
SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/t1c/ir/{source}.py"]
also_copy = ["examples"]
pytest_add_cli_args = [
    "-p", "no:cacheprovider", "-p", "no:unraisableexception",
    "--deselect=tests/test_errors.py::test_a_part_that_leads_nowhere_is_a_warning_where_the_graph_is_made",
]
pytest_add_cli_args_test_selection = [{tests}]
"""
# Where the start line for snnTorch is installed, t1c is imported before mutmut has its say.
RUN = (
    "import sys\n"
    "for name in [n for n in sys.modules if n.split('.')[0] == 't1c']:\n"
    "    del sys.modules[name]\n"
    "from mutmut.__main__ import cli\n"
    "cli()\n"
)
SURVIVED, UNTESTED = 0, 33
COMMAND = "python benchmarks/mutants.py"
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \|" + r" (\d+) \|" * 4, re.MULTILINE)
LEFT_OUT = shutil.ignore_patterns(".*", "dist", "build", "htmlcov", "__pycache__", "mutants")


@dataclass
class Score:
    """What became of the mutants of one file.

    Attributes:
        source: the file's name, without its ending.
        tests: those that ran.
        killed: how many mutants made a test fail, or not end.
        survived: how many no test noticed.
        untested: how many lie in functions that none of the tests calls.
    """

    source: str
    tests: list[str]
    killed: int
    survived: int
    untested: int

    @property
    def count(self) -> int:
        """All of them."""
        return self.killed + self.survived + self.untested

    def row(self) -> str:
        """One line of the table."""
        share = f"{self.killed / self.count:.1%}" if self.count else "-"
        tests = ", ".join(f"`{name}`" for name in self.tests)
        return (
            f"| `{self.source}` | {tests} | {self.count} | {self.killed} | {self.survived} "
            f"| {self.untested} | {share} |"
        )


def main() -> None:
    """Runs file by file, shows what survived, and ends with the table."""
    options = _options()
    page = Path(options.page) if options.page else None
    scores = on_page(page) if page else {}
    for source in options.only.split(",") if options.only else OWN:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="t1c-mutants-") as folder:
            scores[source] = run(source, Path(folder) / "t1c", options.processes)
        sys.stdout.write(f"{scores[source].row()} {time.monotonic() - begun:.0f} s\n")
        sys.stdout.flush()
        if page:
            put_into(page, table(scores), COMMAND)
    sys.stdout.write("\n" + table(scores))


def run(source: str, folder: Path, processes: int) -> Score:
    """The score of one file, from mutmut in a copy of the checkout; its survivors are printed."""
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    tests = ", ".join(f'"tests/{name}.py"' for name in OWN[source])
    with (folder / "pyproject.toml").open("a") as settings:
        settings.write(SETTINGS.format(source=source, tests=tests))
    done = _mutmut(folder, "run", "--max-children", str(processes))
    meta = folder / "mutants" / "src" / "t1c" / "ir" / f"{source}.py.meta"
    if not meta.exists():
        sys.exit(f"mutmut made no mutants of {source}.py:\n{done[-3000:]}")
    codes = json.loads(meta.read_text())["exit_code_by_key"]
    if not codes or None in codes.values():
        sys.exit(f"mutmut did not try all mutants of {source}.py:\n{done[-3000:]}")
    survived = [name for name, code in codes.items() if code == SURVIVED]
    for name in survived:
        sys.stdout.write(_mutmut(folder, "show", name) + "\n")
    untested = sum(code == UNTESTED for code in codes.values())
    killed = len(codes) - len(survived) - untested
    return Score(source, OWN[source], killed, len(survived), untested)


def _mutmut(folder: Path, *words: str) -> str:
    """What mutmut prints, run in a folder."""
    return subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=folder,
        env={**os.environ, "T1C_TESTS": "mutants", "T1C_SLOW": "1", "OMP_WAIT_POLICY": "passive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout


def on_page(page: Path) -> dict[str, Score]:
    """What earlier runs have put into the table of a page: file -> score."""
    found = {}
    for source, tests, *counts in ROW.findall(page.read_text(encoding="utf-8")):
        _, killed, survived, untested = map(int, counts)
        found[source] = Score(source, re.findall(r"\w+", tests), killed, survived, untested)
    return found


def table(found: Mapping[str, Score]) -> str:
    """All files that have a score, and their sum, in Markdown."""
    scores = [found[source] for source in OWN if source in found]
    head = "| file of `t1c.ir` | tests | mutants | killed | survived | untested | killed |\n"
    total = Score(
        "all",
        [],
        sum(score.killed for score in scores),
        sum(score.survived for score in scores),
        sum(score.untested for score in scores),
    )
    rows = "\n".join(score.row() for score in (*scores, total))
    return f"{head}|---|---|--:|--:|--:|--:|--:|\n{rows}\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Count the changes that the tests notice.")
    parser.add_argument("--only", default="", help=f"some of {', '.join(OWN)}, parted by commas")
    parser.add_argument("--page", default="", help="the page that the table goes into")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
