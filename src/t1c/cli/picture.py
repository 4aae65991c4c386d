"""Networks as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from . import sources
from .app import command
from .options import Dt, Json, Model, Steps
from .verb import print_json, verb

Title = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Of the page. Default: the file's name.", show_default=False),
]
Played = Annotated[
    Path | None,
    typer.Option(
        "--input",
        "-i",
        metavar="DATA",
        help="Samples, as for t1c run: the page plays what one of them does in the network.",
        show_default=False,
    ),
]
Sample = Annotated[
    int, typer.Option(min=0, metavar="N", help="Which of the samples, counted from 0.")
]


@command()
@verb
def visualize(
    model: Model,
    title: Title = None,
    data: Played = None,
    sample: Sample = 0,
    steps: Steps = None,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Show a network in the browser: a page that needs no net, kept in a temporary file."""
    from t1c import viz

    network = sources.network(model)
    activity = _activity(network, data, sample, steps, dt)
    _tell(viz.visualize(network, _title(model, title), activity=activity, dt=dt), as_json)


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
    data: Played = None,
    sample: Sample = 0,
    steps: Steps = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="The page runs the network itself, on inputs set there; needs clang."
        ),
    ] = False,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write the picture of a network: one HTML file that needs no net.

    With .svg or .dot at the end of PAGE, the picture alone, for papers.
    """
    from t1c import viz
    from t1c.ir.atomic import write_text

    target = page or Path(f"{'network' if str(model) == '-' else model.stem}.html")
    network = sources.network(model)
    drawn = {".svg": viz.to_svg, ".dot": viz.to_dot}.get(target.suffix)
    if drawn is None and target.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"a page {target.name!r}; it ends in .html, .svg or .dot")
    if live and (drawn is not None or data is not None):
        what = "--input" if drawn is None else f"a {target.suffix} file"
        raise typer.BadParameter(f"--live with {what}: a page either runs or plays")
    if drawn is None:
        activity = _activity(network, data, sample, steps, dt)
        name = _title(model, title)
        viz.export_html(network, target, name, activity=activity, live=live, dt=dt)
    elif data is not None:
        raise typer.BadParameter(f"--input for a {target.suffix} file, which cannot play it")
    else:
        write_text(target, drawn(network, dt=dt))
    _tell(target, as_json)


@command()
@verb
def plot(
    model: Model,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Samples, as for t1c run.", show_default=False),
    ],
    figure: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FIGURE]",
            help="The file to write: .png, .svg or .pdf. Default: MODEL_KIND.png in the working "
            "folder.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        Literal["raster", "membranes", "rates"],
        typer.Option(
            metavar="KIND",
            help="raster: a mark for each spike; membranes: the potentials of the first five "
            "neurons of each node; rates: the mean over neurons at each step.",
        ),
    ] = "raster",
    node: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Whose spikes; may be given several times. Default: of all spiking nodes.",
            show_default=False,
        ),
    ] = None,
    sample: Sample = 0,
    steps: Steps = None,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Run a network on one sample, and draw its spikes, membranes or rates."""
    from t1c import viz

    name = "network" if str(model) == "-" else model.stem
    target = figure or Path(f"{name}_{kind}.png")
    network, samples = sources.network(model), sources.samples(data)
    options: dict[str, Any] = {"kind": kind, "sample": sample, "steps": steps, "dt": dt}
    drawn = viz.draw_run(network, samples, target, node or None, **options)
    if as_json:
        print_json({"figure": str(drawn)})
    else:
        typer.echo(drawn)


def _activity(
    network: Path, data: Path | None, sample: int, steps: int | None, dt: float | None
) -> dict[str, Any] | None:
    """What the page is to play: name -> (T, *features), or None without samples."""
    if data is None:
        return None
    from t1c import sdk

    found = sdk.record(network, sources.samples(data), sample=sample, steps=steps, dt=dt)
    return {node: values[:, 0] for node, values in found.items()}


def _title(model: Path, title: str | None) -> str | None:
    """What standard input is called, where nothing else is said."""
    return "network" if title is None and str(model) == "-" else title


def _tell(path: Path | None, as_json: bool) -> None:
    if as_json:
        print_json({"page": None if path is None else str(path)})
    else:
        typer.echo(path)
