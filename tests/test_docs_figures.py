"""Each figure in the table of docs/reliability.md stands in what a command wrote on its page."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
ROW = re.compile(
    r"^\| (?P<told>[^|]+\|[^|]+\|[^|]+)\|[^|]+\| \[\w+\]\((?P<page>[\w.]*)(#[\w-]*)?\) \|$",
    re.MULTILINE,
)
WRITTEN = re.compile(r"<!-- begin: .*?<!-- end: .*?-->", re.DOTALL)
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


def test_each_stands_in_a_table_that_a_command_wrote():
    page = DOCS / "reliability.md"
    glance = page.read_text().partition("## At a glance")[2].partition("\n## ")[0]
    rows = list(ROW.finditer(glance))
    assert len(rows) == glance.count("\n| ") - 2 >= 7
    compared = 0
    for row in rows:
        written = WRITTEN.findall((DOCS / (row["page"] or page.name)).read_text())
        there = set(NUMBER.findall(" ".join(written)))
        for number in NUMBER.findall(row["told"]):
            assert number in there, f"{number} of {row['told']!r}"
            compared += 1
    assert compared >= 15
