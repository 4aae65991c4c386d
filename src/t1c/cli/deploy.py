"""A network for machines without t1c: one verb for each kind of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import sources
from .app import app
from .options import Dt, Json, Model, Precision
from .usage import Verb
from .verb import NOT_UNDERSTOOD, show, verb

targets = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(targets, name="deploy")


Numbers = Annotated[
    Literal["float32", "float64", "int8", "int16", "int32"],
    typer.Option(
        metavar="TYPE",
        help="Of the arithmetic: float32 or float64; for a graph of integers that of its "
        "weights: int8, int16 or int32.",
    ),
]
Step = Annotated[bool, typer.Option("--step", help="One step, states in and out; else a sequence.")]


@targets.callback()
def deploy(context: typer.Context) -> None:
    """Write a network for machines without t1c."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(NOT_UNDERSTOOD)


@targets.command(cls=Verb)
@verb
def c(
    model: Model,
    folder: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Where the files go.", show_default=False
        ),
    ],
    numbers: Numbers = "float32",
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
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write plain C99: a header, a source, and what builds and tries them.

    The numbers are those of the reference, bit for bit.
    """
    from t1c import deploy as library

    model = sources.network(model)
    show(library.to_c(model, folder, numbers, name=name, layout=layout, dt=dt), as_json)


@targets.command(cls=Verb)
@verb
def exported(
    model: Model,
    out: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The program, .pt2.", show_default=False
        ),
    ],
    step: Step = False,
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
    dtype: Precision = "float32",
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write a program that torch.export.load opens where t1c is not installed.

    Batch and, of a sequence, the number of steps are free. docs/exported.md tells how to call it,
    from Python and, compiled, from C++.
    """
    from t1c import deploy as library

    model = sources.network(model)
    show(library.to_exported(model, out, step, steps=steps, dtype=dtype, dt=dt), as_json)


@targets.command(cls=Verb)
@verb
def onnx(
    model: Model,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="What to write: FILE.onnx.", show_default=False
        ),
    ],
    step: Step = False,
    dtype: Precision = "float32",
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write an ONNX model of standard operators, for onnxruntime and others."""
    from t1c import deploy as library

    show(library.to_onnx(sources.network(model), output, step, dtype=dtype, dt=dt), as_json)


@targets.command(cls=Verb)
@verb
def wasm(
    model: Model,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="What to write: FILE.wasm.", show_default=False
        ),
    ],
    numbers: Numbers = "float32",
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write a module of WebAssembly that imports nothing: one step, for a browser or Node.js.

    Clang and lld compile it. The numbers are those of the reference, bit for bit.
    """
    from t1c import deploy as library

    show(library.to_wasm(sources.network(model), output, numbers, dt=dt), as_json)
