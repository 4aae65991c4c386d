"""How large the box of a node is, and what is written in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

HEIGHT = 44.0
NARROWEST, WIDEST, WIDEST_GROUP = 120.0, 260.0, 340.0
LETTER, SMALL_LETTER = 8.3, 6.6
"""Widths of a letter of the name, 13 pixels high, and of the line below it, 11 pixels high."""
MARGIN = 30.0
ROUND = 20.0
"""Widths are multiples of this, so that boxes below each other tend to be equally wide."""


@dataclass(frozen=True)
class Box:
    """A width, a height, and two lines of text that fit."""

    width: float
    height: float
    name: str
    detail: str


def node_box(node: Mapping[str, Any], prefix: str) -> Box:
    """A node's name, without what the group around it says; its type, and the shape it gives."""
    shapes = list(node["output_type"].values())
    kind = " ".join([node["label"], *_window(node)])
    sizes = " ".join(_by(shape) or "scalar" for shape in shapes)
    detail = f"{kind}, {sizes}" if kind != node["label"] else f"{kind} {sizes}".rstrip()
    return _box(without(prefix, node["name"]), detail)


def _window(node: Mapping[str, Any]) -> list[str]:
    """The window that a convolution or pool looks through, and its stride if it is not 1."""
    if node["family"] not in ("convolution", "pooling"):
        return []
    fields, weight = node["fields"], node["parameters"].get("weight")
    size = fields.get("kernel_size") or (weight["shape"][2:] if weight else None)
    if size is None:
        return []
    stride = fields.get("stride") or size
    steps = list(stride) if isinstance(stride, list) else [stride]
    even = f"/{steps[0]}" if len(set(steps)) == 1 else f"/{_by(steps)}"
    window = _by(size if isinstance(size, list) else [size])
    return [window, *([even] if set(steps) != {1} else [])]


def _by(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def group_box(group: Mapping[str, Any], prefix: str, size: int) -> Box:
    """A folded group's name; below it what it is and how many nodes it holds."""
    name = without(prefix, group["name"])
    count = f"{group_kind(group)}, {size} node{'s' * (size != 1)}"
    room = (WIDEST_GROUP - MARGIN) / SMALL_LETTER
    for types in _fewer(beside(group)):
        if letters(f"{types}, {count}") <= room:
            return _box(name, f"{types}, {count}", WIDEST_GROUP)
    return _box(name, count, WIDEST_GROUP)


def _fewer(types: str) -> Iterator[str]:
    """The types of a group, and what is left of them with the last ones taken off."""
    parts = types.removesuffix(" …").split(" → ") if types else []
    for count in range(len(parts), 0, -1):
        more = " …" * (count < len(parts) or types.endswith("…"))
        yield " → ".join(parts[:count]) + more


def beside(group: Mapping[str, Any]) -> str:
    """What is said beside a group's name: the types of its nodes, unless they are its name."""
    types: str = group["types"]
    return "" if group["name"].startswith(types) else types


def frame_title(group: Mapping[str, Any], room: float) -> str:
    """What an open group is called, and of what it is made, where there is room for so much.

    Args:
        group: of the graph's dictionary.
        room: the width of the line, in pixels.
    """
    kind = "" if group["kind"] in ("part", "repeat") else group_kind(group)
    name, types = group["name"], beside(group)
    for words in ([name, kind, types], [name, types], [name, kind], [name]):
        text = "  ".join(filter(None, words))
        if letters(text) * SMALL_LETTER <= room:
            return text
    return shortened(name, room / SMALL_LETTER)


def group_kind(group: Mapping[str, Any]) -> str:
    """What a group is, in a word."""
    kind: str = group["kind"]
    return {"graph": "nested graph", "repeat": f"{group['times']} equal parts"}.get(kind, kind)


def without(prefix: str, name: str) -> str:
    """The name without the prefix and a dot, if it begins with them."""
    return name.removeprefix(f"{prefix}.") if prefix else name


def _box(name: str, detail: str, widest: float = WIDEST) -> Box:
    wanted = MARGIN + max(letters(name) * LETTER, letters(detail) * SMALL_LETTER)
    width = min(widest, max(NARROWEST, -(-wanted // ROUND) * ROUND))
    room = width - MARGIN
    return Box(
        width, HEIGHT, shortened(name, room / LETTER), shortened(detail, room / SMALL_LETTER)
    )


def letters(text: str) -> float:
    """How wide a text is, in letters of the usual width."""
    return sum(map(_letter, text))


@cache
def _letter(c: str) -> float:
    if c in "fijlrtI.,:;'|!()[] -_":
        return 0.66
    if unicodedata.east_asian_width(c) in "WF":
        return 1.8
    return 1.35 if c in "mwMW@%×→…" else 1.12 if c.isupper() else 1.0


def shortened(text: str, room: float) -> str:
    """The text, or its two ends where it has more letters than ``room``."""
    if letters(text) <= room:
        return text
    shown, head, tail = "…", 0, 0
    while True:
        if letters(text[:head]) < letters(text[len(text) - tail :]) * 0.6:
            head += 1
        else:
            tail += 1
        longer = f"{text[:head]}…{text[len(text) - tail :]}"
        if letters(longer) > room:
            return shown
        shown = longer
