"""How a result shows itself: as a dictionary, as text, in a notebook and on a terminal.

A report says once what is in it, as ``parts``: tables, facts and lines of text. What people see,
wherever they look, is made of these; what programs read is ``to_dict``.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Sequence
from typing import Any

from t1c.ir.table import printable

from .jsonable import jsonable


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under headings.

    Attributes:
        columns: the headings.
        rows: as many cells each.
        title: a line above it; empty for none.
        total: cells of a last row that sums up; empty for none.
        right: the headings of the columns that are aligned to the right: numbers.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    total: tuple[str, ...] = ()
    right: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Facts:
    """Pairs of what is told and what it is, a line each; ``title`` is a line above them."""

    pairs: tuple[tuple[str, str], ...]
    title: str = ""


Part = Table | Facts | str
"""What a report is made of; a text may have several lines."""


class Report:
    """Base of what the functions of ``t1c.sdk`` return: frozen dataclasses that show themselves.

    Declare one with ``@dataclass(frozen=True, repr=False)``, so that an interpreter shows it as
    ``print`` does.
    """

    def parts(self) -> Sequence[Part]:
        """What people are shown, from top to bottom."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it: the attributes under their names.

        Arrays and tuples are lists; numbers that are not finite are text such as ``"nan"``.
        """
        plain: dict[str, Any] = jsonable(dataclasses.asdict(self))  # type: ignore[call-overload]
        return plain

    def __str__(self) -> str:
        return "\n\n".join(filter(None, map(_as_text, self.parts())))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "\n".join(map(_as_html, self.parts()))


def _as_text(part: Part) -> str:
    if isinstance(part, str):
        return "\n".join(map(printable, part.split("\n")))
    title = [printable(part.title)] if part.title else []
    if isinstance(part, Facts):
        return "\n".join([*title, *_aligned(part.pairs, (False, False))])
    right = tuple(column in part.right for column in part.columns)
    rows = [part.columns, *part.rows, *([part.total] if part.total else [])]
    lines = _aligned(rows, right)
    lines.insert(1, "-" * max(map(len, lines)))
    if part.total:
        lines.insert(-1, lines[1])
    return "\n".join([*title, *lines])


def _aligned(rows: Iterable[Sequence[str]], right: Sequence[bool]) -> list[str]:
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]


def _as_html(part: Part) -> str:
    if isinstance(part, str):
        return f"<pre>{html.escape(part)}</pre>"
    caption = f"<caption>{html.escape(part.title)}</caption>" if part.title else ""
    if isinstance(part, Facts):
        rows = "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>"
            for key, value in part.pairs
        )
        return f"<table>{caption}<tbody>{rows}</tbody></table>"
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in part.columns)
    body = "".join(_html_row(row, part) for row in part.rows)
    foot = f"<tfoot>{_html_row(part.total, part)}</tfoot>" if part.total else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table>"


def _html_row(row: Sequence[str], table: Table) -> str:
    cells = (
        f'<td style="text-align: {"right" if column in table.right else "left"}">'
        f"{html.escape(cell)}</td>"
        for column, cell in zip(table.columns, row, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"
