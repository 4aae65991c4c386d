"""Puts what was measured into the pages that show it."""

from __future__ import annotations

import sys
from pathlib import Path


def put_into(page: Path, text: str, command: str) -> None:
    """Replaces what stands between a page's marker lines of a command; says if it has none."""
    begin, end = f"<!-- begin: {command} -->", f"<!-- end: {command} -->"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    if begin not in old or end not in old:
        sys.stderr.write(f"{page} has no lines '{begin}' and '{end}'; left as it is\n")
        return
    before, rest = old.split(begin, 1)
    new = f"{before}{begin}\n\n{text}\n{end}{rest.split(end, 1)[1]}"
    page.write_text(new, encoding="utf-8")
