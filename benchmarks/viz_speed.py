"""How fast pages of 2,000 nodes are made, open and move, in a headless Chromium.

Run it with ``python benchmarks/viz_speed.py``, in an environment with ``t1c[dev]``; it prints a
line for each network: CPU time to make the page, its size, milliseconds from its start until the
picture is on the screen, and the middle and the 95th percentile of the time between frames while
the picture is dragged and zoomed.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from t1c import ir, viz

WIDTH = 8
FRAMES = 90


def main() -> None:
    """Measures each network, folded as it opens and with all groups open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    networks: dict[str, Callable[[int], ir.Graph]] = {
        "equal residual blocks": residual,
        "a chain of which nothing repeats": chain,
        "the chain with 500 random skips": skips,
    }
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox"]
        )
        for name, make in networks.items():
            graph = make(options.nodes)
            start = time.process_time()
            path = viz.export_html(graph, Path(folder) / "page.html", name)
            seconds = time.process_time() - start
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(path.as_uri())
            _shown(page)
            opened = page.evaluate("performance.getEntriesByName('t1c-shown')[0].startTime")
            lines = [_moves(page)]
            began = time.perf_counter()
            page.keyboard.press("e")
            page.evaluate(NEXT_FRAME)
            unfolding = 1000 * (time.perf_counter() - began)
            lines.append(_moves(page))
            page.close()
            sys.stdout.write(
                f"{name}: {len(graph.nodes)} nodes, {len(graph.edges)} edges; page made in "
                f"{seconds:.2f} s of one core, {path.stat().st_size / 1e6:.1f} MB; "
                f"shown after {opened:.0f} ms; frames {lines[0]}; "
                f"all unfolded in {unfolding:.0f} ms, frames {lines[1]}\n"
            )
        browser.close()


NEXT_FRAME = "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"


def _shown(page: Page) -> None:
    while not page.evaluate("performance.getEntriesByName('t1c-shown').length"):
        page.wait_for_timeout(5)


def _moves(page: Page) -> str:
    """Drags and zooms, and says how long frames took."""
    script = """async frames => {
      const canvas = document.getElementById("canvas"), times = [];
      const wheel = (dy, more) => canvas.dispatchEvent(new WheelEvent("wheel",
        { deltaY: dy, clientX: 480, clientY: 400, cancelable: true, ...more }));
      const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
      let last = await frame();
      for (let i = 0; i < frames; i++) {
        if (i % 3) wheel(12, { shiftKey: true });
        else wheel(i < frames / 2 ? -60 : 60, {});
        const now = await frame();
        times.push(now - last);
        last = now;
      }
      return times;
    }"""
    times: list[float] = sorted(page.evaluate(script, FRAMES))
    return f"{statistics.median(times):.0f} ms, 95 % within {times[int(0.95 * FRAMES)]:.0f} ms"


def residual(nodes: int) -> ir.Graph:
    """Blocks of an affine layer and a neuron, around which the input passes."""
    made, edges = _beginning()
    before = "input"
    for block in range((nodes - 2) // 3):
        names = [f"blocks.{block}.{part}" for part in ("fc", "lif", "add")]
        made |= dict(zip(names, (_affine(), _lif(), ir.Skip("residual")), strict=True))
        edges += [(before, names[0]), *itertools.pairwise(names), (before, names[2])]
        before = names[2]
    return _ended(made, edges, before)


def chain(nodes: int) -> ir.Graph:
    """Neurons, and between them activations that differ, so that nothing repeats."""
    made, edges = _beginning()
    before = "input"
    for layer in range(nodes - 2):
        name = f"layer{layer}"
        made[name] = ir.ELU(WIDTH, alpha=1 + layer / nodes) if layer % 2 else _lif()
        edges.append((before, name))
        before = name
    return _ended(made, edges, before)


def skips(nodes: int) -> ir.Graph:
    """The chain, and from every fourth layer a connection to one of the next hundred."""
    graph = chain(nodes)
    rng = np.random.default_rng(0)
    far = [(i, i + int(rng.integers(2, 100))) for i in range(0, nodes - 2, 4)]
    more = [(f"layer{a}", f"layer{b}") for a, b in far if b < nodes - 2]
    return ir.Graph(graph.nodes, [*graph.edges, *more])


def _beginning() -> tuple[dict[str, ir.Node], list[tuple[str, str]]]:
    return {"input": ir.Input((WIDTH,))}, []


def _ended(made: dict[str, ir.Node], edges: list[tuple[str, str]], before: str) -> ir.Graph:
    return ir.Graph({**made, "output": ir.Output((WIDTH,))}, [*edges, (before, "output")])


def _affine() -> ir.Node:
    rng = np.random.default_rng(0)
    return ir.Affine(rng.normal(size=(WIDTH, WIDTH)).astype(np.float32), np.zeros(WIDTH))


def _lif() -> ir.Node:
    values: list[Any] = [np.linspace(2, 20, 9)[:WIDTH], np.ones(WIDTH), np.zeros(WIDTH)]
    return ir.LIF(*values, np.ones(WIDTH))


if __name__ == "__main__":
    main()
