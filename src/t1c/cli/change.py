"""One file made of another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import sources
from .app import command
from .options import AllowNonfinite, Dt, Json
from .verb import show, verb


@command()
@verb
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="A .t1c or .nir file, or - to pipe one in.", show_default=False
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The file to write.", show_default=False)
    ],
    dt: Dt = None,
    reset: Annotated[
        str | None,
        typer.Option(help="What NIR cannot say, such as subtract.", show_default=False),
    ] = None,
    integrator: Annotated[
        str | None,
        typer.Option(help="euler (as NIR means it) or exponential.", show_default=False),
    ] = None,
    dialect: Annotated[
        str | None,
        typer.Option(
            help="The habits of a producer, such as snntorch; auto tells it from the file.",
            show_default=False,
        ),
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Write what NIR cannot say as metadata.")
    ] = False,
    allow_nonfinite: AllowNonfinite = False,
    as_json: Json = False,
) -> None:
    """Turn a .nir file into a .t1c file, or back; the suffixes say which."""
    from t1c import sdk

    report = sdk.convert(
        sources.network(source),
        target,
        dt=dt,
        reset=reset,
        integrator=integrator,
        dialect=dialect,
        lossy=lossy,
        allow_nonfinite=allow_nonfinite,
    )
    show(report, as_json)
