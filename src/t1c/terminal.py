"""How results look on a terminal: tables, summaries, a progress bar."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from t1c.ir.fields import show
from t1c.ir.shapes import Shape
from t1c.sdk import FileInfo, RunReport
from t1c.sdk.report import Facts, Part, Report
from t1c.sdk.report import Table as Rows

ENDLESS = 100_000
"""Columns where there is no terminal: in a pipe or file no line is ever broken."""


def visible(text: str) -> str:
    """``text`` with control characters spelled out: what a file says may not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_report(report: Report) -> None:
    """A report of ``t1c.sdk``: its tables as the terminal is wide, everything else as it is."""
    parts: list[RenderableType] = []
    for part in report.parts():
        if parts:
            parts.append("")
        parts += _rendered(part)
    _print(*parts)


def _rendered(part: Part) -> list[RenderableType]:
    if isinstance(part, str):
        return [Text("\n".join(map(visible, part.split("\n"))))]
    title: list[RenderableType] = [Text(visible(part.title), style="bold")] if part.title else []
    if isinstance(part, Facts):
        return [*title, _facts(list(part.pairs))]
    return [*title, _rows(part)]


def _rows(part: Rows) -> Table:
    table = Table(
        box=box.SIMPLE,
        pad_edge=False,
        show_footer=bool(part.total),
        show_edge=False,
        collapse_padding=True,
    )
    footers = part.total or ("",) * len(part.columns)
    for heading, footer in zip(part.columns, footers, strict=True):
        right = heading in part.right
        table.add_column(
            visible(heading),
            visible(footer),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
        )
    for row in part.rows:
        table.add_row(*map(visible, row))
    return table


def print_info(info: FileInfo) -> None:
    """A file as tables: its nodes, its feedback edges, its notes."""
    heading = f": format {info.format_version}, {decimal(info.file_bytes)}\n"
    parts: list[RenderableType] = [
        Text.assemble((visible(info.file), "bold"), heading),
        _node_table(info),
    ]
    if info.feedback:
        pairs = [f"  {visible(source)} -> {visible(target)}" for source, target in info.feedback]
        parts += [_heading("Feedback, one step late (t-1)"), Text("\n".join(pairs))]
    notes = [(f"  {key}", value) for key, value in _flat(info.metadata)]
    notes += [(f"  {n.name}: {key}", value) for n in info.nodes for key, value in _flat(n.metadata)]
    if notes:
        parts += [_heading("Metadata"), _facts(notes)]
    _print(*parts)


def print_run(report: RunReport) -> None:
    """What a run came to, in a few lines."""
    result = report.result
    seconds = (
        f"{_duration(result.seconds)}, {_duration(result.seconds / result.samples)} per sample"
    )
    means = result.mean_output
    rates = ", ".join(f"{m:.4g}" if len(means) == 1 else f"{n} {m:.4g}" for n, m in means.items())
    arrays = ", ".join(f"{name} {array.shape}" for name, array in result.arrays().items())
    of = "per step and neuron"
    if result.answer:
        of = "per neuron, at the last step" + (" (final) or per step" if result.out_sum else "")
    facts = [
        ("samples", f"{result.samples:,}, {result.steps:,} steps each, in {report.dtype}"),
        ("time", seconds),
        ("mean output", f"{rates} {of}"),
        ("results", f"{report.results}: {arrays}"),
    ]
    if result.accuracy is not None:
        right = f"{result.accuracy:.2%}, {result.correct:,} of {result.samples:,} right"
        facts.insert(2, ("accuracy", right))
    _print(_facts(facts))


@contextlib.contextmanager
def progress_bar(wanted: bool) -> Iterator[Callable[[float, int], None]]:
    """A function that takes done and total and shows them as a bar on stderr.

    The bar appears with the first call and vanishes at the end; where stderr is no terminal there
    is none.
    """
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("samples"), TimeRemainingColumn())
    shown = wanted and console.is_terminal
    bar = Progress(*columns, console=console, transient=True, disable=not shown)
    task = bar.add_task("")

    def show_progress(done: float, total: int) -> None:
        bar.update(task, completed=done, total=total)
        bar.start()

    try:
        yield show_progress
    finally:
        bar.stop()


def _print(*parts: RenderableType) -> None:
    """Print on stdout, plainly: names and notes from a file are never taken for markup."""
    terminal = sys.stdout.isatty()
    width = None if terminal else ENDLESS
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    if terminal:
        console.print(*parts, sep="\n")
        return
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _node_table(info: FileInfo) -> Table:
    table = Table(
        box=box.SIMPLE, pad_edge=False, show_footer=True, show_edge=False, collapse_padding=True
    )
    table.add_column("node", "total", overflow="fold")
    table.add_column("type", f"{len(info.nodes)} nodes")
    table.add_column("output shape", f"{info.edges} edges")
    for heading, total in (
        ("parameters", f"{info.parameters:,}"),
        ("bytes", f"{info.bytes:,}"),
        ("state", f"{info.state:,}"),
    ):
        table.add_column(heading, total, justify="right", no_wrap=True)
    table.add_column("from", overflow="fold")
    for node in info.nodes:
        table.add_row(
            visible(node.name),
            node.kind,
            _ports(node.output_type),
            *(f"{n:,}" if n else "" for n in (node.parameters, node.bytes, node.state)),
            ", ".join(visible(s.node) + (" (t-1)" if s.feedback else "") for s in node.sources),
        )
    return table


def _ports(shapes: dict[str, Shape]) -> str:
    """One shape as it is, several with the names of their ports."""
    if len(shapes) == 1:
        return str(*shapes.values())
    return ", ".join(f"{visible(port)} {shape}" for port, shape in shapes.items())


def _facts(facts: list[tuple[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for key, value in facts:
        table.add_row(visible(key), visible(_brief(value)))
    return table


def _brief(value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return value if isinstance(value, str) else show(value)


def _flat(notes: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Nested notes as (dotted path, value)."""
    for key, value in notes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _duration(seconds: float) -> str:
    """Seconds, or milliseconds where that reads better."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
