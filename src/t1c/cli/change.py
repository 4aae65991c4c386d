"""One file made of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import sources
from .app import command
from .options import AllowNonfinite, Dt, Json
from .sources import is_many
from .verb import FAILED, show, verb

if TYPE_CHECKING:
    from t1c.sdk import Report


@command()
@verb
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A .t1c or .nir file, or - to pipe one in; a folder of them, or a pattern.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="The file to write; of several files, the folder.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(metavar="SUFFIX", help="Of several files: .t1c or .nir.", show_default=False),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Of several files: write those that are there too.")
    ] = False,
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
            help="Of a .nir file to read: its producer, such as snntorch, or auto to tell it from "
            "the file; of one to write: whose importer is to run it.",
            show_default=False,
        ),
    ] = None,
    repair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Mend what is wrong with a .nir file: inner-names, flattened-names, batch-axis or "
            "flatten-batch; may be given several times.",
            show_default=False,
        ),
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Write what NIR cannot say as metadata.")
    ] = False,
    allow_nonfinite: AllowNonfinite = False,
    as_json: Json = False,
) -> None:
    """Turn a .nir file into a .t1c file, or back; the suffixes say which.

    Several files, as in t1c convert models/ converted/ --to .t1c, keep their names; what is there
    already is passed over, and a file that fails does not keep the others from being written. The
    exit status is 1 if one failed.
    """
    from t1c import sdk

    several = is_many(source)
    of_one = {"--reset": reset, "--integrator": integrator, "--allow-nonfinite": allow_nonfinite}
    of_many = {"--to": to, "--again": again}
    for name, value in (of_one if several else of_many).items():
        if value:
            raise typer.BadParameter(f"{name} is for {'one file' if several else 'several files'}")
    report: Report
    if several:
        report = sdk.batch_convert(
            source,
            target,
            to=_suffix(to),
            dt=dt,
            dialect=dialect,
            repair=repair or (),
            lossy=lossy,
            overwrite=again,
        )
    else:
        report = sdk.convert(
            sources.network(source),
            target,
            dt=dt,
            reset=reset,
            integrator=integrator,
            dialect=dialect,
            repair=repair or (),
            lossy=lossy,
            allow_nonfinite=allow_nonfinite,
        )
    show(report, as_json)
    if not report:
        raise typer.Exit(FAILED)


def _suffix(text: str | None) -> Literal[".t1c", ".nir"] | None:
    """A suffix, with or without its dot."""
    if text is None or text.lstrip(".") == "t1c":
        return None if text is None else ".t1c"
    if text.lstrip(".") == "nir":
        return ".nir"
    raise typer.BadParameter(f"--to {text!r} is neither .t1c nor .nir")
