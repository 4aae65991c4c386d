"""Tables on a terminal that is wide enough, beside what rich makes of them."""

from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from t1c import terminal
from t1c.sdk.report import Table

WIDE = 500
TABLES = {
    "of numbers": Table(("node", "n"), (("fc", "1,024"), ("lif", "7")), right=("n",)),
    "with a total": Table(("a", "b"), (("x", "1"),), total=("total", ""), right=("b",)),
    "of no rows": Table(("a", "long heading"), ()),
    "of wide letters": Table(("名前", "é"), (("層一", "e\u0301"), ("b", "\x1b[31m"))),
    "of sentences": Table(("what", "why"), (("a", "b  " * 20 + "c"), ("", "one two"))),
}


def shown(table):
    """What a terminal shows: with its codes, and the lines without."""
    console = Console(width=WIDE, file=StringIO(), force_terminal=True, color_system="standard")
    console.print(table)
    written = console.file.getvalue()
    return written, [line.rstrip() for line in Text.from_ansi(written).plain.splitlines()]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_fits_is_laid_out_as_rich_does(name):
    part = TABLES[name]
    whole = terminal._rows(part, WIDE)
    assert isinstance(whole, terminal._Whole)
    written, lines = shown(whole)
    assert lines == shown(terminal._broken(part, terminal._least(part)))[1]
    assert len(lines) == len(part.rows) + (4 if part.total else 2)
    head, *_, last = written.splitlines()
    assert head.startswith("\x1b[1m")
    assert last.startswith("\x1b[1m") == bool(part.total)


def test_a_table_that_does_not_fit_is_left_to_rich():
    assert not isinstance(terminal._rows(TABLES["of sentences"], 40), terminal._Whole)
