"""How results look on a terminal: tables, summaries, a progress bar."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import textwrap
from collections.abc import Iterator

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from t1c.sdk.report import Facts, Part, Report
from t1c.sdk.report import Table as Rows

ENDLESS = 100_000
"""Columns where there is no terminal: in a pipe or file no line is ever broken."""

LABEL = re.compile(r"\s*(?:\S+ )*?\S+ {2,}|\s*")
"""What a line begins with before its text: an indentation, or a label and a gap."""

GAP = 2
"""Between the columns of a table."""
SHORT, WORD = 14, 24
"""Cells of so few letters are not broken, and no word of more is kept whole."""
SENTENCE, LINE = 40, 16
"""A column with cells of more letters than the first is at least as wide as the second."""


def visible(text: str) -> str:
    """``text`` with control characters spelled out: what a file says may not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_report(report: Report) -> None:
    """A report of ``t1c.sdk``: as wide as the terminal; in a pipe or file, no line is broken."""
    console = _console()
    parts: list[RenderableType] = []
    for part in report.parts():
        if parts:
            parts.append("")
        parts += _rendered(part, console.width)
    _print(console, parts)


def print_text(text: str) -> None:
    """Lines of text; what is too long goes on below its beginning, right of its label."""
    console = _console()
    _print(console, [_lines(text, console.width)])


def _console(*, stderr: bool = False) -> Console:
    """A console that takes nothing for markup, and writes plainly where that is wanted.

    NO_COLOR asks for no codes at all: rich takes it for colours alone, and leaves bold.
    """
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=None if stream.isatty() else ENDLESS,
        markup=False,
        highlight=False,
        emoji=False,
    )


def _print(console: Console, parts: list[RenderableType]) -> None:
    if sys.stdout.isatty():
        console.print(*parts, sep="\n")
        return
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _rendered(part: Part, width: int) -> list[RenderableType]:
    if isinstance(part, str):
        return [_lines(part, width)]
    title: list[RenderableType] = [Text(visible(part.title), style="bold")] if part.title else []
    return [*title, _facts(part) if isinstance(part, Facts) else _rows(part, width)]


def _lines(text: str, width: int) -> Text:
    return Text("\n".join(_hanging(visible(line), width) for line in text.split("\n")))


def _hanging(line: str, width: int) -> str:
    """A line broken at words, its further lines indented to where its text begins."""
    if len(line) <= width:
        return line
    label = LABEL.match(line)
    indent = label.end() if label else 0
    indent = indent if indent <= width // 2 else 2
    return textwrap.fill(
        line, width, subsequent_indent=" " * indent, drop_whitespace=True, break_on_hyphens=False
    )


def _rows(part: Rows, width: int) -> RenderableType:
    """A table; where it is too wide even with its cells broken at words, a list of its rows."""
    least = _least(part)
    if sum(least) + GAP * (len(least) - 1) > width:
        return _listed(part)
    columns = [list(map(visible, column)) for column in zip(*_rows_of(part), strict=True)]
    widths = [max(least[n], *map(cell_len, column)) for n, column in enumerate(columns)]
    if sum(widths) + GAP * (len(widths) - 1) <= width:
        return _Whole(part, columns, widths)
    return _broken(part, least)


def _rows_of(part: Rows) -> list[tuple[str, ...]]:
    return [part.columns, *part.rows, *([part.total] if part.total else [])]


class _Whole:
    """A table none of whose cells is broken, which asks for nothing but blanks.

    Laid out as rich does it, which looks at every cell many times over, as if it were broken.
    """

    def __init__(self, part: Rows, columns: list[list[str]], widths: list[int]) -> None:
        spread = [
            [
                blank + cell if heading in part.right else cell + blank
                for cell in column
                for blank in [" " * (width - cell_len(cell))]
            ]
            for heading, column, width in zip(part.columns, columns, widths, strict=True)
        ]
        self._lines = [(" " * GAP).join(row) for row in zip(*spread, strict=True)]
        self._rule = "─" * (sum(widths) + GAP * (len(widths) - 1))
        self._total = bool(part.total)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        bold = Style(bold=True)
        head, *body = self._lines
        foot = [body.pop()] if self._total else []
        yield Segment(head, bold)
        yield Segment("\n".join(["", self._rule, *body, *([self._rule] if foot else []), ""]))
        for line in foot:
            yield Segment(line, bold)
            yield Segment.line()


def _broken(part: Rows, least: list[int]) -> Table:
    """A table whose cells are broken where it would be too wide."""
    table = Table(
        box=box.SIMPLE,
        pad_edge=False,
        show_footer=bool(part.total),
        show_edge=False,
        collapse_padding=True,
    )
    footers = part.total or ("",) * len(part.columns)
    for heading, footer, narrowest in zip(part.columns, footers, least, strict=True):
        right = heading in part.right
        table.add_column(
            visible(heading),
            visible(footer),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
            min_width=narrowest,
        )
    for row in part.rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table


def _least(part: Rows) -> list[int]:
    """How narrow each column can be without breaking words, numbers and shapes."""
    rows = _rows_of(part)
    found = []
    for heading, cells in zip(part.columns, zip(*rows, strict=True), strict=True):
        shown = [visible(cell) for cell in cells]
        whole = heading in part.right
        words = (cell if whole or len(cell) <= SHORT else _longest(cell) for cell in shown)
        room = max(map(len, words), default=0)
        if max(map(len, shown)) > SENTENCE:
            room = max(room, LINE)
        found.append(room if whole else min(room, WORD))
    return found


def _longest(text: str) -> str:
    return max(text.split(), key=len, default="")


def _listed(part: Rows) -> RenderableType:
    """Each row below its first cell, as pairs of a heading and a cell; empty cells are left out."""
    lists: list[RenderableType] = []
    total = (part.total[0] or "total", *part.total[1:]) if part.total else None
    for row in (*part.rows, *([total] if total else ())):
        cells = zip(part.columns[1:], row[1:], strict=True)
        pairs = [(f"  {heading}", cell) for heading, cell in cells if cell]
        lists += [Text(visible(row[0]), style="bold"), _facts(Facts(tuple(pairs)))]
    return Group(*lists)


def _facts(part: Facts) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for key, value in part.pairs:
        table.add_row(visible(key), visible(value))
    return table


class ProgressBar:
    """What is being done, and how far it is, on stderr; nothing where stderr is no terminal.

    Args:
        wanted: whether to show it.
        unit: what is counted, such as 'samples'.
    """

    def __init__(self, wanted: bool, unit: str) -> None:
        console = _console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
        )
        shown = wanted and console.is_terminal
        self._bar = Progress(*columns, console=console, transient=True, disable=not shown)
        self._words = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            console=console,
            transient=True,
            disable=not shown,
        )
        self._task = self._bar.add_task("")
        self._doing = self._words.add_task("", total=None)

    def stage(self, words: str) -> None:
        """Say what is being done, of which nothing is known but that it is not done."""
        self._bar.stop()
        self._words.update(self._doing, description=f"{words} ...")
        self._words.start()

    def progress(self, done: float, total: int) -> None:
        """Show how much is done."""
        self._words.stop()
        self._bar.update(self._task, completed=done, total=total)
        self._bar.start()

    def stop(self) -> None:
        """Remove it from the screen."""
        self._words.stop()
        self._bar.stop()


@contextlib.contextmanager
def progress_bar(wanted: bool, unit: str = "samples") -> Iterator[ProgressBar]:
    """A bar that is gone when the block ends, however it ends."""
    bar = ProgressBar(wanted, unit)
    try:
        yield bar
    finally:
        bar.stop()
