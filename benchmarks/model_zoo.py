"""What comes of exporting every model that the installed frameworks ship.

`make zoo` runs this in the environment of the tests, which has the frameworks. Each model is
exported, and run beside its graph, in a process of its own; a line for each goes to standard
output, and the tables into docs/zoo.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from pages import put_into
from speed.machine import describe

PACKAGES = ("t1c", "torch", "spikingjelly", "norse", "sinabs", "snntorch")


def main() -> None:
    """Tries the models, writes what is found, and says by its exit status if all went well."""
    options = _options()
    with warnings.catch_warnings():
        # Frameworks warn of torch's deprecations as they are imported.
        warnings.simplefilter("ignore")
        from zoo import page
        from zoo.apart import checked
        from zoo.models import entries

        entries_ = entries()
    left_out = [word for word in options.without.lower().split(",") if word]
    chosen, omitted = [], []
    for entry in entries_:
        title = f"{entry.framework}: {entry.name}".lower()
        if options.only.lower() in title:
            (omitted if any(word in title for word in left_out) else chosen).append(entry)
    found, start = [], time.perf_counter()

    def timed(entry: Any) -> tuple[Any, float]:
        began = time.perf_counter()
        return checked(entry, options.threads, options.limit), time.perf_counter() - began

    with ThreadPoolExecutor(options.jobs) as pool:
        for one, seconds in pool.map(timed, chosen):
            found.append(one)
            sys.stdout.write(page.line(one, seconds) + "\n")
            sys.stdout.flush()
    minutes = (time.perf_counter() - start) / 60
    sys.stdout.write(f"\n{page.totals(found)}\n{page.reasons(found)}\n")
    sys.stdout.write(f"{len(found)} models in {minutes:.0f} minutes\n")
    if options.page and not options.only:
        limits = {e.name: (e.seconds, e.times) for e in chosen if e.seconds}
        text = page.page(found, limits, _measured_on(options, minutes))
        if omitted:
            names = ", ".join(entry.name for entry in omitted)
            text += f"\n\nLeft out of this run (`--without {options.without}`): {names}."
        put_into(options.page, text, "make zoo")
    sys.exit(any(f.verdict in ("WRONG", "CRASH") for f in found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="models whose 'framework: name' holds this")
    parser.add_argument(
        "--without", default="", help="words, by comma: models to leave out, which the page names"
    )
    parser.add_argument("--page", type=Path, help="write the tables into it, if all models ran")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="(2)")
    parser.add_argument("--jobs", type=int, default=1, help="models at once: times suffer (1)")
    parser.add_argument("--limit", type=float, default=300, help="seconds for a model (300)")
    return parser.parse_args()


def _measured_on(options: argparse.Namespace, minutes: float) -> str:
    machine = describe(torch.device("cpu"))
    versions = ", ".join(f"{name} {machine[name]}" for name in PACKAGES if machine.get(name))
    return (
        f"Measured by `make zoo` in {minutes:.0f} minutes on {machine['cpu']}, "
        f"{machine['cores']} cores, {options.threads} threads, {options.jobs} models at once, "
        f"{machine['system']}, with Python "
        f"{machine['python']}, {versions}."
    )


if __name__ == "__main__":
    main()
