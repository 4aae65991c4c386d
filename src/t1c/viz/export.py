"""A graph shown at once, or kept as a file."""

from __future__ import annotations

import html
import importlib
import os
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from t1c.ir.atomic import write_text
from t1c.nir import GraphSource

from .activity import Activity
from .render import render_html


def export_html(
    source: GraphSource | Mapping[str, Any],
    path: str | os.PathLike[str],
    title: str | None = None,
    *,
    activity: Activity | None = None,
    live: bool = False,
    dt: float | None = None,
) -> Path:
    """Write the page that ``render_html`` gives.

    Args:
        source: see ``render_html``, as for ``title``, ``activity``, ``live`` and ``dt``.
        path: of the HTML file, which appears whole or not at all; what is there is replaced.
        title: of the page.
        activity: what nodes gave in a run.
        live: the page runs the network itself.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Returns:
        The path.

    Raises:
        T1CError: the source is not valid, or the file cannot be written (WriteError).
    """
    text = render_html(source, title, activity=activity, live=live, dt=dt)
    path = Path(path)
    write_text(path, text)
    return path


def visualize(
    source: GraphSource | Mapping[str, Any],
    title: str | None = None,
    *,
    activity: Activity | None = None,
    live: bool = False,
    dt: float | None = None,
    height: int = 640,
) -> Path | None:
    """Show a graph: within a notebook below the cell, elsewhere in the browser.

    Args:
        source: see ``render_html``, as for ``title``, ``activity``, ``live`` and ``dt``.
        title: of the page.
        activity: what nodes gave in a run.
        live: the page runs the network itself.
        dt: seconds in one step, for a ``.nir`` file that does not say it.
        height: of the picture in a notebook, in pixels.

    Returns:
        The path of the temporary file that the browser was asked to open, which is kept; None in a
        notebook, where nothing is written.
    """
    text = render_html(source, title, activity=activity, live=live, dt=dt)
    if in_notebook():
        shown = importlib.import_module("IPython.display")
        shown.display(shown.HTML(as_frame(text, height)))
        return None
    handle, name = tempfile.mkstemp(prefix="t1c-", suffix=".html")
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
    webbrowser.open(Path(name).as_uri())
    return Path(name)


def as_frame(text: str, height: int) -> str:
    """A page as a frame of its own within another one, which it cannot reach."""
    return (
        f'<iframe srcdoc="{html.escape(text)}" sandbox="allow-scripts allow-downloads" '
        f'style="width: 100%; height: {height}px; border: 1px solid #8886; border-radius: 6px">'
        "</iframe>"
    )


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel, and not in a terminal."""
    # A notebook has it loaded already; nobody else needs it.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"
