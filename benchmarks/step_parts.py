"""What one step of the MLP is made of, by leaving parts of it away.

`make bench` runs this behind its table. Without its kernel a step gives no spikes: what is left is
what Python, torch and the checks take. Each line leaves away what those above it do, and more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from pages import put_into
from speed.by_t1c import T1C
from speed.rows import ROWS
from speed.timing import alternate

COMMAND = "python benchmarks/step_parts.py"


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    calls, per = _calls()
    found = alternate(calls, seconds=10, least=9, most=51)
    times = {name: median(values) / per * 1e6 for name, values in found.items()}
    text = _table(times)
    sys.stdout.write(text)
    if options.page:
        put_into(options.page, text, COMMAND)


def _calls() -> tuple[dict[str, Callable[[], object]], int]:
    workload = next(row for row in ROWS if row.key == "step").workload()
    model, xs = T1C(workload.network).eval(), list(workload.xs)
    executor: Any = model.executor

    def steps() -> None:
        state = None
        for x in xs:
            _, state = executor(x, state)

    def without(*changes: tuple[str, Any]) -> Callable[[], None]:
        def call() -> None:
            with ExitStack() as stack:
                for target, change in changes:
                    stack.enter_context(patch(target, change))
                steps()

        return torch.inference_mode()(call)

    torch.inference_mode()(steps)()
    (program,) = executor.network.programs.values()
    empty, weights = _Empty(), [m.weight for m in executor.modules() if hasattr(m, "weight")]
    kernel = ("t1c.bridge.engine.program.share", lambda *_, **__: None)
    parameters = ("t1c.bridge.engine.watched.Watched.holds", lambda _: True)
    served = ("t1c.bridge.engine.step.program_for", lambda *_: program)
    calls = {
        "a step": without(),
        "without its kernel": without(kernel),
        "… and without looking whether a parameter changed": without(kernel, parameters),
        "… and without looking whether hooks, modes or modules did": without(
            kernel, parameters, served
        ),
        "a call of an empty module": lambda: [empty(x, None) for x in xs],
        "the three products alone, dense": torch.inference_mode()(
            lambda: [_products(x, weights) for x in xs]
        ),
    }
    return calls, len(xs)


class _Empty(torch.nn.Module):
    def forward(self, x: Any, state: Any) -> Any:
        """Nothing."""
        return x, state


def _products(x: torch.Tensor, weights: list[Any]) -> torch.Tensor:
    for weight in weights:
        x = torch.nn.functional.linear(x, weight)
    return x


def _table(times: dict[str, float]) -> str:
    lines = ["| what is left | µs |", "| --- | ---: |"]
    lines += [f"| {name} | {time:.3g} |" for name, time in times.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
