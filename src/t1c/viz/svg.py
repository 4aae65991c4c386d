"""A graph as SVG, for papers and slides."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from t1c.nir import GraphSource

from .boxes import frame_title, letters
from .graph_dict import graph_to_dict
from .layout import lay_out, opened
from .palette import FAMILIES, FEEDBACK
from .place import Line, Placed, place

CARD, SHADE, FRAME = "#ffffff", "#f1f3f6", "#c3cad4"
TEXT, QUIET, EDGE = "#1c2128", "#5d6673", "#8b95a3"
STATUS = {"added": "#1a7f37", "removed": "#cf222e", "changed": "#b07800"}
SIGNS = {"added": "+", "removed": "−", "changed": "≠"}
TINT = 0.1


def to_svg(
    source: GraphSource | Mapping[str, Any],
    *,
    unfold: bool | None = None,
    dt: float | None = None,
) -> str:
    """The picture of a graph as SVG text, dark on white.

    Args:
        source: a graph, a path of a ``.t1c`` or ``.nir`` file, or what ``graph_to_dict`` gave.
        unfold: whether nested graphs and repeated parts are open; None opens as many as the page
            does at first.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: the file is not valid, or its dt is not known.

    Example:
        >>> Path("model.svg").write_text(to_svg("model.t1c"))  # doctest: +SKIP
    """
    graph = source if isinstance(source, Mapping) else graph_to_dict(source, dt=dt)
    picture = lay_out(graph)
    wanted: Collection[str] = picture.open
    if unfold is not None:
        wanted = opened(graph, float("inf")) if unfold else ()
    scene = place(picture, wanted)
    width, height = scene.width + 32, scene.height + 56
    things = {thing["id"]: thing for thing in [*graph["nodes"], *graph["groups"]]}
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 -28 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" '
        "font-family=\"system-ui, 'Liberation Sans', Arial, sans-serif\">",
        f"<title>{html.escape(graph['title'])}</title>",
    ]
    for box in scene.boxes:
        if box.open:
            out.append(_rect(box, f'fill="{CARD if box.depth % 2 else SHADE}"', FRAME, 10))
            left, room = box.title
            words = frame_title(things[box.id], room)
            out.append(_text(left, box.y + 17, words, 11, QUIET))
    for line in scene.lines:
        statuses = {graph["edges"][number].get("status", "") for number in line.link.edges}
        out += _line(line, statuses.pop() if len(statuses) == 1 else "")
    for box in scene.boxes:
        if not box.open:
            said = picture.boxes[box.id]
            out += _box(box, things[box.id], said.name, said.detail)
    return "\n".join([*out, "</svg>\n"])


def _box(box: Placed, thing: Mapping[str, Any], name: str, detail: str) -> list[str]:
    family = thing.get("family", "graph")
    colour = FAMILIES[family].light
    round_ = box.height / 2 if family == "border" else 7
    out = []
    if "family" not in thing:
        behind = replace(box, x=box.x + 4, y=box.y + 4)
        out.append(_rect(behind, f'fill="{CARD}"', FRAME, round_))
    status = thing.get("status", "")
    stroke = STATUS.get(status, _mixed(CARD, colour, 0.55))
    fill = f'fill="{_mixed(CARD, colour, TINT)}"' + (' stroke-width="2.5"' if status else "")
    out.append(_rect(box, fill, stroke, round_))
    indent = 20 if family == "border" else 16
    if family != "border":
        stripe = replace(box, width=6)
        out.append(_rect(stripe, f'fill="{colour}"', "none", 3))
    bold = f'font-weight="600" {_fitted(name, 8.6, box.width - 26)}'
    out.append(_text(box.x + indent, box.y + 18, name, 13, TEXT, bold))
    fitted = _fitted(detail, 7.0, box.width - 26)
    out.append(_text(box.x + indent, box.y + 34, detail, 11, QUIET, fitted))
    if status:
        right = 'font-weight="600" text-anchor="end"'
        out.append(_text(box.x + box.width - 9, box.y + 17, SIGNS[status], 13, stroke, right))
    return out


def _fitted(words: str, letter: float, room: float) -> str:
    """What keeps a text that may be too wide in some font to its room."""
    if letters(words) * letter <= room:
        return ""
    return f'textLength="{room:.0f}" lengthAdjust="spacingAndGlyphs"'


def _line(line: Line, status: str) -> list[str]:
    feedback = line.link.feedback
    colour = STATUS.get(status, FEEDBACK.light if feedback else EDGE)
    dash = "6 4" if feedback else "2 3" if status == "removed" else "none"
    out = [
        f'<path d="{line.path}" fill="none" stroke="{colour}" stroke-width="1.4" '
        f'stroke-dasharray="{dash}"/>'
    ]
    if line.tip is not None:
        (x, y), (wx, wy) = line.tip, line.way
        out.append(
            f'<path fill="{colour}" d="M{x:.1f} {y:.1f}L{x - 8 * wx - 4 * wy:.1f} '
            f'{y - 8 * wy - 4 * wx:.1f}L{x - 8 * wx + 4 * wy:.1f} {y - 8 * wy + 4 * wx:.1f}Z"/>'
        )
    if feedback:
        x, y = line.label
        out.append(f'<rect x="{x - 12:.1f}" y="{y - 7:.1f}" width="24" height="14" fill="{CARD}"/>')
        out.append(_text(x, y + 4, "t-1", 11, colour, 'text-anchor="middle"'))
    return out


def _rect(box: Placed, fill: str, stroke: str, round_: float) -> str:
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="{round_:.0f}" {fill} stroke="{stroke}"/>'
    )


def _text(x: float, y: float, words: str, size: int, fill: str, more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" {more}>'
        f"{html.escape(words)}</text>"
    )


def _mixed(a: str, b: str, t: float) -> str:
    """The colour a * (1 - t) + b * t."""
    parts = [(int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(x * (1 - t) + y * t):02x}" for x, y in parts)
