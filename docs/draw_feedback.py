"""Draws the pictures of docs/topology.md: which edges run back, as the rule itself decides.

Run it with ``python docs/draw_feedback.py``; it writes docs/img/*.svg.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t1c import ir

IMAGES = Path(__file__).parent / "img"
STEP, MARGIN, RADIUS = 110, 60, 24
FILL = {"n": "#ffd9a8", "s": "#e8eaee", "d": "#cfe6d4", "i": "#ffffff", "o": "#ffffff"}


@dataclass(frozen=True)
class Picture:
    """A graph and where its nodes stand: name -> (column, row); a name begins with its kind.

    ``edges`` maps an edge to how far it bends (0 is straight).
    """

    file: str
    places: dict[str, tuple[float, float]]
    edges: dict[tuple[str, str], float]

    def graph(self) -> ir.Graph:
        """The graph: features of size 1, so that everything fits everything."""
        return ir.Graph({n: _node(n) for n in self.places}, list(self.edges), allow_cycles=True)


PICTURES = [
    Picture(
        "loop",
        {"in": (0, 0), "s fc": (1, 0), "n lif": (2, 0), "out": (3, 0), "s rec": (1.5, 1)},
        {
            ("in", "s fc"): 0, ("s fc", "n lif"): 0, ("n lif", "out"): 0,
            ("n lif", "s rec"): 0, ("s rec", "n lif"): 30,
        },
    ),
    Picture(
        "two-populations",
        {"in": (0, 0), "n A": (1, 0), "n B": (2, 0), "out": (3, 0)},
        {("in", "n A"): 0, ("n A", "n B"): 0, ("n B", "out"): 0, ("n B", "n A"): 60},
    ),
    Picture(
        "skip-in-loop",
        {"in": (0, 0), "n A": (1, 0), "n B": (2, 0), "n C": (3, 0), "out": (4, 0)},
        {
            ("in", "n A"): 0, ("n A", "n B"): 0, ("n B", "n C"): 0, ("n C", "out"): 0,
            ("n A", "n C"): -60, ("n C", "n A"): 80,
        },
    ),
    Picture(
        "nested-loops",
        {"in": (0, 0), "n A": (1, 0), "n B": (2, 0), "n C": (3, 0), "out": (4, 0)},
        {
            ("in", "n A"): 0, ("n A", "n B"): 0, ("n B", "n C"): 0, ("n C", "out"): 0,
            ("n C", "n B"): 50, ("n C", "n A"): 110,
        },
    ),
    Picture(
        "delay",
        {"in": (0, 0), "n lif": (1, 0), "out": (2.4, 0), "d 3": (1, 1)},
        {
            ("in", "n lif"): 0, ("n lif", "out"): 0,
            ("n lif", "d 3"): 30, ("d 3", "n lif"): 30,
        },
    ),
]  # fmt: skip


def _node(name: str) -> ir.Node:
    one = np.array([1.0])
    if name == "in":
        return ir.Input(shape=(1,))
    if name == "out":
        return ir.Output(shape=(1,))
    if name.startswith("d"):
        return ir.Delay(delay=np.array([3]))
    return ir.Scale(scale=one) if name.startswith("s") else ir.IF(v_threshold=one)


def draw(picture: Picture) -> str:
    """The picture as SVG; edges that run back are red and dashed."""
    back = set(picture.graph().feedback_edges())
    bends = [-b for b in picture.edges.values() if b < 0]
    above, below = max(bends, default=0), max(picture.edges.values(), default=0)
    at = {
        name: (MARGIN + x * STEP, MARGIN + above / 2 + y * 90)
        for name, (x, y) in picture.places.items()
    }
    width = max(x for x, _ in at.values()) + MARGIN
    height = max(y for _, y in at.values()) + MARGIN + below / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" font-family="sans-serif" font-size="13">',
        '<defs><marker id="k" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#333"/></marker>'
        '<marker id="r" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#c22"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
    ]
    parts += [_edge(at[a], at[b], bend, (a, b) in back) for (a, b), bend in picture.edges.items()]
    parts += [_circle(name, x, y) for name, (x, y) in at.items()]
    return "\n".join([*parts, "</svg>\n"])


def _edge(a: tuple[float, float], b: tuple[float, float], bend: float, back: bool) -> str:
    (x0, y0), (x1, y1) = a, b
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1)
    across = (-(y1 - y0) / length, (x1 - x0) / length)
    if x1 < x0:
        across = (-across[0], -across[1])
    middle = ((x0 + x1) / 2 + across[0] * bend, (y0 + y1) / 2 + across[1] * bend)
    start, end = _towards(a, middle), _towards(b, middle)
    style = 'stroke="#c22" stroke-dasharray="6 4"' if back else 'stroke="#333"'
    return (
        f'<path d="M{start[0]:.1f} {start[1]:.1f} Q{middle[0]:.1f} {middle[1]:.1f} '
        f'{end[0]:.1f} {end[1]:.1f}" fill="none" stroke-width="1.8" {style} '
        f'marker-end="url(#{"r" if back else "k"})"/>'
    )


def _towards(centre: tuple[float, float], point: tuple[float, float]) -> tuple[float, float]:
    dx, dy = point[0] - centre[0], point[1] - centre[1]
    length = (dx * dx + dy * dy) ** 0.5
    return centre[0] + dx / length * (RADIUS + 3), centre[1] + dy / length * (RADIUS + 3)


def _circle(name: str, x: float, y: float) -> str:
    kind, label = (name[0], name) if name in ("in", "out") else (name[0], name[2:])
    return (
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{RADIUS}" fill="{FILL[kind]}" stroke="#333"/>'
        f'<text x="{x:.0f}" y="{y + 4.5:.1f}" text-anchor="middle">{label}</text>'
    )


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for picture in PICTURES:
        (IMAGES / f"{picture.file}.svg").write_text(draw(picture))
