"""What it costs to draw graphs of strangers: seconds and memory for each MB of their files.

    python benchmarks/large_pages.py [--nodes 4000] [--page docs/security.md]

`make fuzz` runs this. The graphs are those of `tests/large_graphs.py`, of a form that is hard on
what draws; tests/test_viz_large.py counts that twice the graph is at most twice the work.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from pages import put_into

from t1c import ir, viz
from tests.large_graphs import LARGE

COMMAND = "python benchmarks/large_pages.py"


def main() -> None:
    """Prints a table, and puts it into a page."""
    parser = argparse.ArgumentParser(description="Draw graphs that are hard to draw.")
    parser.add_argument("--nodes", type=int, default=4000)
    parser.add_argument("--page", type=Path, default=None, help="the page that shows it")
    options = parser.parse_args()
    rows = [
        "| form | MB of the file | MB of the page | s per MB of the file | MB per MB of the file |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    viz.render_html(LARGE["chain"](2))  # imports
    for form, make in LARGE.items():
        rows.append(row(form.replace("_", " "), make(options.nodes)))
        sys.stdout.write(rows[-1] + "\n")
        sys.stdout.flush()
    text = "\n".join([*rows, "", f"Graphs of about {options.nodes:,} nodes (or notes)."])
    if options.page:
        put_into(options.page, text + "\n", COMMAND)


def row(form: str, graph: ir.Graph) -> str:
    """A form: its sizes, and the processor time and the peak of memory of its page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.t1c"
        ir.write(path, graph)
        size = path.stat().st_size / 1e6
    begin = time.process_time()
    page = len(viz.render_html(graph).encode()) / 1e6
    seconds = time.process_time() - begin
    tracemalloc.start()
    viz.render_html(graph)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return f"| {form} | {size:.1f} | {page:.1f} | {seconds / size:.2f} | {peak / size:.1f} |"


if __name__ == "__main__":
    main()
