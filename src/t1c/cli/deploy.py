"""A network for machines without t1c: one verb for each kind of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import sources
from .app import app
from .options import Dt, Json, Model
from .usage import Verb
from .verb import NOT_UNDERSTOOD, show, verb

targets = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(targets, name="deploy")


@targets.callback()
def deploy(context: typer.Context) -> None:
    """Write a network for machines without t1c."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(NOT_UNDERSTOOD)


@targets.command(cls=Verb)
@verb
def onnx(
    model: Model,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="What to write: FILE.onnx."),
    ],
    step: Annotated[
        bool, typer.Option("--step", help="One step, not a whole sequence: states in and out.")
    ] = False,
    dtype: Annotated[
        Literal["float32", "float64"],
        typer.Option(metavar="TYPE", help="Of the arithmetic: float32 or float64."),
    ] = "float32",
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write an ONNX model of standard operators, for onnxruntime and others."""
    from t1c.deploy import to_onnx

    show(to_onnx(sources.network(model), output, step, dtype=dtype, dt=dt), as_json)
