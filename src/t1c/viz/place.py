"""Everything in its absolute place, with some groups open.

The same as ``page/place.js``, which does it again whenever a group is opened; a test compares them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from .layout import ROW_GAP, Laid, Picture
from .scopes import Link

BAND_GAP = 64.0
PAD, HEAD = 14.0, 26.0
SPREAD = 16.0
TITLE = 10.0
"""How far the title of a frame stands from its sides, at least."""
CLEAR = 6.0
"""And from lines."""
LOOP = 46.0
"""Room for the line from a node to itself."""


@dataclass(frozen=True)
class Placed:
    """A box: a node, a folded group, or the frame of an open one.

    ``depth`` frames lie around it. ``title`` is where the title of a frame may stand without a line
    that crosses it: its left end, and how wide it may be.
    """

    id: str
    x: float
    y: float
    width: float
    height: float
    open: bool
    depth: int
    title: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Line:
    """A link as an SVG path.

    Attributes:
        tip: where its arrow ends, and which way it points in y or x; None without an arrow.
        label: where a few letters may stand.
    """

    link: Link
    path: str
    tip: tuple[float, float] | None
    way: tuple[int, int]
    label: tuple[float, float]


@dataclass
class Scene:
    """All boxes, frames before what is in them, all lines, and how large the whole is."""

    boxes: list[Placed] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


def place(picture: Picture, opened: Collection[str]) -> Scene:
    """Places with the groups ``opened`` open."""
    whole = _Part(picture, None, frozenset(opened))
    scene = Scene(width=whole.width, height=whole.height)
    _settle(scene, whole, 0.0, 0.0, 0.0, 0.0, 0)
    return scene


_Stops = list[tuple[float, int]]
"""Where a line passes rows: (x, row)."""


@dataclass
class _Sides:
    left: float
    right: float
    height: float


@dataclass
class _Box:
    row: int
    middle: float
    x: float
    y: float
    width: float
    height: float
    part: _Part | None


@dataclass
class _Port:
    x: float
    y: float
    row: int
    top: bool


class _Part:
    """One scope on its own, from its upper left corner."""

    def __init__(self, picture: Picture, ident: str | None, opened: frozenset[str]) -> None:
        self.laid = laid = picture.scopes[ident]
        inner: dict[str, _Part] = {}
        sizes: dict[str, _Sides] = {}
        for item in laid.items:
            box = picture.boxes[item]
            if item not in opened:
                sizes[item] = _Sides(box.width / 2, box.width / 2, box.height)
                continue
            part = inner[item] = _Part(picture, item, opened)
            ports = [port.x + PAD for port in part.ports]
            width = max(part.width + 2 * PAD, box.width)
            left = (min(ports) + max(ports)) / 2 if ports else width / 2
            sizes[item] = _Sides(left, width - left, part.height + HEAD + PAD)
        self.bands = self._bands()
        warps = [
            _room(picture, laid, sizes, [self.bands[row] == band for row in range(laid.rows)])
            for band in range(len(laid.bands))
        ]

        def moved(x: float, row: int) -> float:
            return warps[self.bands[row]](x)

        self.heights = [0.0] * laid.rows
        for item, (_, row) in laid.items.items():
            self.heights[row] = max(self.heights[row], sizes[item].height)
        self.tops: list[float] = []
        self.ends = [0.0] * len(laid.bands)
        for row in range(laid.rows):
            boxes = self.heights[row] and row and self.heights[row - 1]
            gap = ROW_GAP if boxes else ROW_GAP / 2
            fresh = row in laid.bands
            self.tops.append(0.0 if fresh else self.tops[-1] + self.heights[row - 1] + gap)
            self.ends[self.bands[row]] = self.tops[row] + self.heights[row]
        self.height: float = max(self.ends)
        points = [[(moved(x, row), row) for x, row in line] for line in laid.points]
        self._shift(sizes, points, moved)
        self.boxes: dict[str, _Box] = {}
        for item, (x, row) in laid.items.items():
            size, at = sizes[item], moved(x, row) + self.shifts[self.bands[row]]
            self.boxes[item] = _Box(
                row,
                at,
                at - size.left,
                self.tops[row] + (self.heights[row] - size.height) / 2,
                size.left + size.right,
                size.height,
                inner.get(item),
            )
        self.ports: list[_Port] = []
        for number, x in enumerate(laid.ports):
            top = number in laid.scope.top
            row = 0 if top else laid.rows - 1
            x = moved(x, row) + self.shifts[self.bands[row]]
            self.ports.append(_Port(x, 0.0 if top else self.height, row, top))
        shifted = [[(x + self.shifts[self.bands[row]], row) for x, row in p] for p in points]
        self.links, self.stops = self._joined(shifted)

    def _joined(self, stops: list[_Stops]) -> tuple[list[Link], list[_Stops]]:
        """The links as they are drawn, and where they pass.

        Those between the same two boxes are one where no port tells them apart because the groups
        are folded.
        """
        kept: list[_Stops] = []
        known: dict[tuple[object, ...], Link] = {}
        for link, way in zip(self.laid.scope.links, stops, strict=True):
            key = (
                *self._end(link.source, link.source_port),
                *self._end(link.target, link.target_port),
                link.upwards,
                link.feedback,
            )
            if key in known:
                known[key].edges.extend(link.edges)
            else:
                known[key] = replace(link, edges=list(link.edges))
                kept.append(way)
        return list(known.values()), kept

    def _end(self, item: str | None, port: int) -> tuple[str | None, int]:
        return item, port if item is None or self.boxes[item].part is not None else 0

    def _bands(self) -> list[int]:
        starts, bands, band = set(self.laid.bands), [], -1
        for row in range(self.laid.rows):
            band += row in starts
            bands.append(band)
        return bands

    def _shift(
        self,
        sizes: dict[str, _Sides],
        points: list[list[tuple[float, int]]],
        moved: Callable[[float, int], float],
    ) -> None:
        """Sets the bands side by side."""
        lows = [math.inf] * len(self.laid.bands)
        highs = [-math.inf] * len(self.laid.bands)

        def widen(row: int, low: float, high: float) -> None:
            band = self.bands[row]
            lows[band], highs[band] = min(lows[band], low), max(highs[band], high)

        links = self.laid.scope.links
        loops = {link.source for link in links if link.source == link.target}
        for item, (x, row) in self.laid.items.items():
            at, size = moved(x, row), sizes[item]
            widen(row, at - size.left, at + size.right + (LOOP if item in loops else 0.0))
        for line in points:
            for x, row in line:
                widen(row, x - 4, x + 4)
        self.shifts: list[float] = []
        self.sides: list[float] = []
        width = 0.0
        for low, high in zip(lows, highs, strict=True):
            known = low < math.inf
            self.shifts.append(width - (low if known else 0.0))
            width += (high - low if known else 0.0) + BAND_GAP
            self.sides.append(width - BAND_GAP / 2)
        self.width = max(width - BAND_GAP, 0.0)

    def line_ends(self) -> dict[tuple[int, str], tuple[int, int]]:
        """Where lines leave and reach boxes, by where they go: (which, of how many)."""
        sides: dict[tuple[str, str], list[tuple[float, int]]] = {}
        for number, link in enumerate(self.links):
            if link.source == link.target and link.source is not None:
                continue
            (upper, upper_port), (lower, lower_port) = _ends(link)
            stops = self.stops[number]
            above = stops[0][0] if stops else self._x(lower, lower_port)
            below = stops[-1][0] if stops else self._x(upper, upper_port)
            if upper is not None:
                sides.setdefault((upper, "v"), []).append((above, number))
            if lower is not None:
                sides.setdefault((lower, "^"), []).append((below, number))
        return {
            (number, side): (i, len(ends))
            for (_, side), ends in sides.items()
            for i, (_, number) in enumerate(sorted(ends))
        }

    def _x(self, item: str | None, port: int) -> float:
        return self.ports[port].x if item is None else self.boxes[item].middle


def _ends(link: Link) -> tuple[tuple[str | None, int], tuple[str | None, int]]:
    """The upper end and the lower one."""
    source, target = (link.source, link.source_port), (link.target, link.target_port)
    return (target, source) if link.upwards else (source, target)


def _room(
    picture: Picture, laid: Laid, sizes: dict[str, _Sides], here: list[bool]
) -> Callable[[float], float]:
    """Moves an x aside for the groups that are open in a band."""
    known: dict[int, tuple[float, float, float, float]] = {}
    for item, (x, row) in laid.items.items():
        half, size = picture.boxes[item].width / 2, sizes[item]
        left, right = max(size.left - half, 0.0), max(size.right - half, 0.0)
        if here[row] and (left or right):
            key = math.floor(x / 4 + 0.5)
            first, least, most_left, most_right = known.get(key, (x, half, 0.0, 0.0))
            known[key] = (first, min(half, least), max(left, most_left), max(right, most_right))

    def warp(x: float) -> float:
        total = x
        for at, half, left, right in known.values():
            far = max(-1.0, min(1.0, (x - at) / half))
            total += far * (left if far < 0 else right)
        return total

    return warp


def _settle(
    scene: Scene, part: _Part, dx: float, dy: float, above: float, below: float, depth: int
) -> None:
    """Adds a part at its place; ``above`` and ``below`` it its frame goes on."""
    ends = part.line_ends()
    for number, link in enumerate(part.links):
        if link.source is not None and link.source == link.target:
            scene.lines.append(_loop(part.boxes[link.source], link, dx, dy))
        else:
            scene.lines.append(_line(part, link, number, ends, dx, dy, above, below))
    for item, box in part.boxes.items():
        x, y, inner = box.x + dx, box.y + dy, box.part
        is_open = inner is not None
        title = (0.0, 0.0) if inner is None else _gap(inner, x, box.width)
        scene.boxes.append(Placed(item, x, y, box.width, box.height, is_open, depth, title))
        if inner is not None:
            room = box.height - inner.height - HEAD
            _settle(scene, inner, x + PAD, y + HEAD, HEAD, room, depth + 1)


def _gap(part: _Part, x: float, width: float) -> tuple[float, float]:
    """The widest place along the upper side of a frame that no line crosses."""
    end = x + width - TITLE + CLEAR
    if len(part.sides) > 1:  # lines from column to column pass above all but the first
        end = x + PAD + part.sides[0]
    crossed = sorted(x + PAD + port.x for port in part.ports if port.top)
    ends = [x + TITLE - CLEAR, *(at for at in crossed if at < end), end]
    gaps = [(a + CLEAR, b - a - 2 * CLEAR) for a, b in itertools.pairwise(ends)]
    return max(gaps, key=lambda gap: gap[1])


def _loop(box: _Box, link: Link, dx: float, dy: float) -> Line:
    x, y = box.x + box.width + dx, box.y + box.height / 2 + dy
    start, far = f"M{_n(x)} {_n(y + 9)}", _n(x + 30)
    path = f"{start}C{far} {_n(y + 18)} {far} {_n(y - 18)} {_n(x)} {_n(y - 9)}"
    return Line(link, path, (x, y - 9), (-1, 0), (x + 34, y))


def _line(
    part: _Part,
    link: Link,
    number: int,
    ends: dict[tuple[int, str], tuple[int, int]],
    dx: float,
    dy: float,
    above: float,
    below: float,
) -> Line:
    def end(which: tuple[str | None, int], side: str) -> tuple[float, float, int, bool]:
        item, port = which
        if item is None:
            at = part.ports[port]
            return at.x, -above if at.top else at.y + below, at.row, True
        box = part.boxes[item]
        y = box.y + box.height if side == "v" else box.y
        if box.part is not None:
            return box.x + PAD + box.part.ports[port].x, y, box.row, False
        i, count = ends[number, side]
        step = min(SPREAD, (box.width - 24) / count)
        return box.middle + (i - (count - 1) / 2) * step, y, box.row, False

    upper, lower = _ends(link)
    x0, y0, row0, from_border = end(upper, "v")
    x1, y1, row1, to_border = end(lower, "^")
    way = [(x0, y0, row0)]
    if from_border:
        way.append((x0, 0.0, row0))  # straight past the title of the frame
    else:
        way.append((x0, part.tops[row0] + part.heights[row0], row0))
    for x, row in part.stops[number]:
        way += [(x, part.tops[row], row), (x, part.tops[row] + part.heights[row], row)]
    if not to_border:
        way.append((x1, part.tops[row1], row1))
    way.append((x1, y1, row1))
    path, label = _path(part, way, dx, dy)
    tip = (x0 + dx, y0 + dy) if link.upwards else (x1 + dx, y1 + dy)
    bare = link.target is None or part.boxes[link.target].part is not None
    return Line(link, path, None if bare else tip, (0, -1 if link.upwards else 1), label)


def _path(
    part: _Part, way: list[tuple[float, float, int]], dx: float, dy: float
) -> tuple[str, tuple[float, float]]:
    """An SVG path along the way, and the middle of its longest piece."""
    x, y, row = way[0][0] + dx, way[0][1] + dy, way[0][2]
    path = f"M{_n(x)} {_n(y)}"
    longest, label = -1.0, (x, y)
    for to_x, to_y, to_row in way[1:]:
        to_x, to_y = to_x + dx, to_y + dy
        band, to_band = part.bands[row], part.bands[to_row]
        if band != to_band:
            foot = part.ends[band] + dy + 18
            side, far = part.sides[band] + dx, part.sides[to_band - 1] + dx
            path += (
                f"L{_n(x)} {_n(foot - 10)}Q{_n(x)} {_n(foot)} {_n(x + 10)} {_n(foot)}"
                f"L{_n(side - 10)} {_n(foot)}Q{_n(side)} {_n(foot)} {_n(side)} {_n(foot - 10)}"
            )
            if far > side:
                path += f"L{_n(side)} {_n(dy - 6)}L{_n(far)} {_n(dy - 6)}"
            path += (
                f"L{_n(far)} {_n(dy - 8)}Q{_n(far)} {_n(dy - 18)} {_n(far + 10)} {_n(dy - 18)}"
                f"L{_n(to_x - 10)} {_n(dy - 18)}Q{_n(to_x)} {_n(dy - 18)} {_n(to_x)} {_n(dy - 8)}"
                f"L{_n(to_x)} {_n(to_y)}"
            )
            if longest < 0:
                label = (x, foot - 8)
        elif to_x == x or to_y == y:
            path += f"L{_n(to_x)} {_n(to_y)}"
        else:
            bend = max((to_y - y) / 2, 6.0)
            path += f"C{_n(x)} {_n(y + bend)} {_n(to_x)} {_n(to_y - bend)} {_n(to_x)} {_n(to_y)}"
        if band == to_band and to_y - y > longest:
            longest, label = to_y - y, ((x + to_x) / 2, (y + to_y) / 2)
        x, y, row = to_x, to_y, to_row
    return path, label


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
