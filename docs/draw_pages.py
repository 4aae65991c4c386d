"""Draws the pictures of docs/viz.md: pages of ``t1c.viz`` as a headless Chromium shows them.

Run it with ``python docs/draw_pages.py``, in an environment with ``t1c[dev]`` and with chromium,
clang and lld installed; it writes docs/img/viz-*.png.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from t1c import ir, viz

IMAGES = Path(__file__).parent / "img"
DIGITS = Path(__file__).parent.parent / "examples" / "digits.t1c"


def main() -> None:
    """Writes the pictures."""
    first, second = _network(tau=4.0), _network(tau=6.0, smaller=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1180, "height": 720})
        _open(page, Path(folder), viz.render_html(first, "Keyword spotting"))
        page.evaluate("t1c.select('blocks.2.lif')")
        page.keyboard.press("f")
        _save(page, "viz-page")
        _open(page, Path(folder), viz.diff_html(first, second, "epoch 10 → epoch 20"))
        _save(page, "viz-diff")
        _open(page, Path(folder), viz.render_html(DIGITS, "Digits", live=True))
        _paint_a_zero(page)
        page.evaluate("t1c.live.step(80)")
        _save(page, "viz-live")
        browser.close()


def _open(page: Page, folder: Path, text: str) -> None:
    (folder / "page.html").write_text(text, encoding="utf-8")
    page.goto((folder / "page.html").as_uri())
    page.wait_for_timeout(300)


def _paint_a_zero(page: Page) -> None:
    """Strokes over the pixels of the live page's input, which are 24 wide."""
    place = page.locator(".painted").bounding_box()
    assert place is not None
    corners = [(2, 0), (5, 0), (5, 7), (2, 7), (2, 1)]
    points = [(place["x"] + 24 * x + 12, place["y"] + 24 * y + 12) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(x, y, steps=20)
    page.mouse.up()


def _save(page: Page, name: str) -> None:
    page.wait_for_timeout(200)
    page.screenshot(path=IMAGES / f"{name}.png")


def _network(tau: float, smaller: bool = False) -> ir.Graph:
    """A stem, residual blocks, and a recurrent layer; the smaller one lacks its normalisation."""
    rng = np.random.default_rng(0)

    def affine(out: int, into: int) -> ir.Node:
        weight = rng.normal(scale=into**-0.5, size=(out, into)).astype(np.float32)
        return ir.Affine(weight, np.zeros(out, np.float32))

    def lif(n: int, tau: float = 2.0) -> ir.Node:
        taus = np.clip(rng.normal(tau, tau / 8, n), 1, None).astype(np.float32)
        ones, zeros = np.ones(n, np.float32), np.zeros(n, np.float32)
        return ir.LIF(taus, taus, zeros, ones)

    nodes: dict[str, ir.Node] = {"audio": ir.Input((40,)), "stem.fc": affine(64, 40)}
    edges = [("audio", "stem.fc")]
    before = "stem.fc"
    if not smaller:
        nodes["stem.norm"] = ir.LayerNorm((64,), np.ones(64), np.zeros(64))
        edges.append((before, "stem.norm"))
        before = "stem.norm"
    for block in range(4):
        fc, neuron, add = (f"blocks.{block}.{part}" for part in ("fc", "lif", "add"))
        nodes |= {fc: affine(64, 64), neuron: lif(64, tau if block == 2 else 2.0)}
        nodes[add] = ir.Skip("residual")
        edges += [(before, fc), (fc, neuron), (neuron, add), (before, add)]
        before = add
    nodes |= {"memory.fc": affine(32, 64), "memory.lif": lif(32), "memory.rec": affine(32, 32)}
    nodes |= {"head": affine(12, 32), "words": ir.Output((12,))}
    edges += [(before, "memory.fc"), ("memory.fc", "memory.lif"), ("memory.lif", "memory.rec")]
    edges += [("memory.rec", "memory.lif"), ("memory.lif", "head"), ("head", "words")]
    return ir.Graph(nodes, edges, allow_cycles=True)


if __name__ == "__main__":
    main()
