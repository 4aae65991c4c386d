"""A network for machines without t1c: a group of verbs, one for each kind of file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.core import TyperGroup

from . import sources
from .app import app
from .options import Dt, Json, Model
from .usage import Verb
from .verb import show, verb

deploy = typer.Typer(
    cls=TyperGroup,
    rich_markup_mode=None,
    help="Write a network for machines without t1c.",
)
app.add_typer(deploy, name="deploy")


@deploy.command("exported", cls=Verb)
@verb
def exported(
    model: Model,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="The program, .pt2.", show_default=False),
    ],
    step: Annotated[
        bool, typer.Option("--step", help="One step, states in and out; else a sequence.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="T",
            help="Of a sequence whose inputs are all held: for how many steps. Default: as the "
            "network says.",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        Literal["float32", "float64"],
        typer.Option(metavar="TYPE", help="Of the arithmetic: float32 or float64."),
    ] = "float32",
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write a program that torch.export.load opens where t1c is not installed.

    Batch and, of a sequence, the number of steps are free. docs/exported.md tells how to call it,
    from Python and, compiled, from C++.
    """
    from t1c.deploy import to_exported

    model = sources.network(model)
    show(to_exported(model, out, step, steps=steps, dtype=dtype, dt=dt), as_json)
