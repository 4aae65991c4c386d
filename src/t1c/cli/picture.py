"""Networks as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import sources
from .app import command
from .options import Dt, Json, Model
from .verb import print_json, verb

Title = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Of the page. Default: the file's name.", show_default=False),
]


@command()
@verb
def visualize(model: Model, title: Title = None, dt: Dt = None, as_json: Json = False) -> None:
    """Show a network in the browser: a page that needs no net, kept in a temporary file."""
    from t1c import viz

    _tell(viz.visualize(sources.network(model), _title(model, title), dt=dt), as_json)


@command(name="export-html")
@verb
def export_html(
    model: Model,
    page: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PAGE]",
            help="The file to write. Default: MODEL.html in the working folder.",
            show_default=False,
        ),
    ] = None,
    title: Title = None,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write the picture of a network: one HTML file that needs no net.

    With .svg or .dot at the end of PAGE, the picture alone, for papers.
    """
    from t1c import viz

    target = page or Path(f"{'network' if str(model) == '-' else model.stem}.html")
    network = sources.network(model)
    drawn = {".svg": viz.to_svg, ".dot": viz.to_dot}.get(target.suffix)
    if drawn is None:
        viz.export_html(network, target, _title(model, title), dt=dt)
    else:
        target.write_text(drawn(network, dt=dt), encoding="utf-8")
    _tell(target, as_json)


def _title(model: Path, title: str | None) -> str | None:
    """What standard input is called, where nothing else is said."""
    return "network" if title is None and str(model) == "-" else title


def _tell(path: Path | None, as_json: bool) -> None:
    if as_json:
        print_json({"page": None if path is None else str(path)})
    else:
        typer.echo(path)
