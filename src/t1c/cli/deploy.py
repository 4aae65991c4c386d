"""A network for machines without t1c: ``t1c deploy c model.t1c -o folder/``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import sources
from .app import app
from .options import Json, Model
from .usage import Verb, Verbs
from .verb import show, verb

deploy = typer.Typer(
    cls=Verbs,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Write a network for machines without t1c.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(deploy, name="deploy")


@deploy.command(cls=Verb)
@verb
def c(
    model: Model,
    folder: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Where the files go.", show_default=False
        ),
    ],
    numbers: Annotated[
        Literal["float32", "float64"],
        typer.Option(metavar="TYPE", help="Of the arithmetic: float32 or float64."),
    ] = "float32",
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What files and functions begin with.")
    ] = "model",
    layout: Annotated[
        Literal["input", "output"],
        typer.Option(
            metavar="LAYOUT",
            help="Of a dense layer's weights: input, so that a zero costs nothing, or output.",
        ),
    ] = "input",
    as_json: Json = False,
) -> None:
    """Write plain C99: a header, a source, and what builds and tries them.

    The numbers are those of the reference, bit for bit.
    """
    from t1c import deploy as library
    from t1c.nir import read_graph

    graph = read_graph(sources.network(model))
    show(library.to_c(graph, folder, numbers, name=name, layout=layout), as_json)
