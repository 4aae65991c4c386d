"""What comes of public models in ONNX: each one's graph in onnxruntime, beside the executor.

Each model of `make zoo` becomes a graph and the graph an ONNX model of a whole sequence. A line for
each goes to standard output, and the table into docs/onnx.md.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from pages import put_into
from speed.machine import describe

COMMAND = "python benchmarks/onnx_zoo.py"


def main() -> None:
    """Tries the models, writes what is found, and says by its exit status if all went well."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="models whose 'framework: name' holds this")
    parser.add_argument("--without", default="", help="words, by comma: models to leave out")
    parser.add_argument("--page", type=Path, help="write the table into it")
    parser.add_argument("--threads", type=int, default=2, help="(2)")
    parser.add_argument("--jobs", type=int, default=1, help="models at once (1)")
    parser.add_argument("--limit", type=float, default=60, help="seconds for a model (60)")
    parser.add_argument("--minutes", type=float, default=60, help="begin no model after (60)")
    options = parser.parse_args()
    with warnings.catch_warnings():
        # Frameworks warn of torch's deprecations as they are imported.
        warnings.simplefilter("ignore")
        from zoo import page
        from zoo.apart import checked
        from zoo.models import entries
        from zoo.onnx_check import check_onnx

        every = [(f"{e.framework}: {e.name}".lower(), e) for e in entries()]
    left_out = [word for word in options.without.lower().split(",") if word]
    chosen = [
        e
        for title, e in every
        if options.only.lower() in title and not any(word in title for word in left_out)
    ]
    found: list[Any] = []
    start = time.perf_counter()

    def timed(entry: Any) -> tuple[Any, float]:
        began = time.perf_counter()
        if began - start > 60 * options.minutes:
            return None, 0.0
        one = checked(entry, options.threads, options.limit, check_onnx)
        return one, time.perf_counter() - began

    with ThreadPoolExecutor(options.jobs) as pool:
        for one, seconds in pool.map(timed, chosen):
            if one is not None:
                found.append(one)
                sys.stdout.write(page.line(one, seconds) + "\n")
                sys.stdout.flush()
    done = [f for f in found if not f.why.startswith("not done after")]
    graphs = [f for f in done if not f.why.startswith("no graph")]
    text = page.totals(graphs)
    odd = [f for f in graphs if f.verdict not in ("EXACT", "ROUNDED")]
    text += "".join(f"\n- {f.framework}: {f.name}: {f.verdict}, {f.why}" for f in odd)
    flipped = [f for f in graphs if f.verdict == "ROUNDED" and f.spikes_off]
    machine = describe(torch.device("cpu"))
    text += (
        f"\n\n{sum(f.spikes for f in graphs):,} spikes or silences "
        f"({sum(f.fired for f in graphs):,} spikes) and "
        f"{sum(f.values for f in graphs):,} values compared; rounding moved a spike in "
        f"{len(flipped)} of the models, {sum(f.spikes_off for f in flipped):,} spikes in all. Of "
        f"{len(every)} models {len(done) - len(graphs)} "
        f"have no graph, {len(found) - len(done)} took longer than {options.limit:.0f} s, and "
        f"{len(every) - len(found)} were not tried (`--without {options.without}`). "
        f"Measured by `{COMMAND}` on {machine['cpu']}, {options.threads} threads, with torch "
        f"{torch.__version__} and onnxruntime {onnxruntime.__version__}."
    )
    sys.stdout.write(f"\n{text}\n")
    if options.page and not options.only:
        put_into(options.page, text, COMMAND)
    sys.exit(any(f.verdict in ("WRONG", "CRASH") for f in graphs))


if __name__ == "__main__":
    main()
