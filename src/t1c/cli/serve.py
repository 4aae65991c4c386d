"""A network at everybody's service."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from . import sources
from .app import command
from .options import AllowNonfinite, Dt, Json, Model, Precision
from .verb import FAILED, print_json, show, verb

TOKEN = "T1C_TOKEN"


@command()
@verb
def serve(
    model: Model,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen; from other machines only with a token.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Requests have to bring the token in it. Default: the variable {TOKEN}, if it is "
            "set.",
            show_default=False,
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Answer web pages from there, http://localhost:3000; may be given several times.",
            show_default=False,
        ),
    ] = None,
    streams: Annotated[int, typer.Option(min=1, help="Open at once.")] = 256,
    queue: Annotated[
        int, typer.Option(min=1, help="Messages of a stream that are not answered yet.")
    ] = 8,
    message: Annotated[
        int, typer.Option(min=1, metavar="BYTES", help="Of one message of a stream.")
    ] = 2**20,
    calls: Annotated[int, typer.Option(min=1, help="At work at once.")] = 16,
    call: Annotated[int, typer.Option(min=1, metavar="BYTES", help="Of one call.")] = 2**24,
    batch: Annotated[int, typer.Option(min=1, help="Streams and samples worked as one.")] = 256,
    idle: Annotated[
        float, typer.Option(metavar="SECONDS", help="That a stream is kept without a message.")
    ] = 300.0,
    patience: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="For a client to send a request or take an answer."),
    ] = 30.0,
    work: Annotated[float, typer.Option(metavar="SECONDS", help="For one call's work.")] = 60.0,
    grace: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="To answer what was accepted, when told to stop."),
    ] = 10.0,
    dtype: Precision = "float32",
    any_order: Annotated[
        bool,
        typer.Option(
            "--any-order",
            help="Take sums in whatever order is fastest: the last bits of a stream may then "
            "depend on how many others are served.",
        ),
    ] = False,
    dt: Dt = None,
    allow_nonfinite: AllowNonfinite = False,
    as_json: Json = False,
) -> None:
    """Serve a network over HTTP, and over WebSockets in streams that keep their state.

    Many streams are worked as one batch, and each has the numbers that it would have alone.
    docs/serve.md tells how to ask. Ctrl-C, or SIGTERM, stops: what was accepted is answered, and
    the exit status is 1 if something was not.

    Where it listens is told on standard error, or with --json as a first object on standard output;
    what it did is told at the end.
    """
    library = _library()
    limits = library.Limits(
        streams=streams,
        queue=queue,
        message=message,
        calls=calls,
        call=call,
        batch=batch,
        idle=idle,
        patience=patience,
        work=work,
        grace=grace,
    )
    network = sources.network(model)

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url})
        else:
            typer.echo(f"serving {model} at {url} (Ctrl-C stops)", err=True)

    report = library.serve(
        network,
        host=host,
        port=port,
        token=_token(token_file),
        origins=origin or (),
        limits=limits,
        dtype=dtype,
        any_order=any_order,
        dt=dt,
        allow_nonfinite=allow_nonfinite,
        ready=ready,
    )
    show(report, as_json)
    if not report:
        raise typer.Exit(FAILED)


def _library() -> ModuleType:
    """``t1c.serve``, and what it is made with.

    Raises:
        UnsupportedError: something of that is not installed; the message says how to get it.
    """
    from t1c.ir.errors import UnsupportedError

    try:
        from t1c import serve as library
    except ModuleNotFoundError as missing:
        raise UnsupportedError(str(missing)) from None
    return library


def _token(file: Path | None) -> str | None:
    """What requests have to bring: never on the command line, which everybody can read."""
    if file is not None:
        return file.read_text(encoding="utf-8").strip()
    return os.environ.get(TOKEN)
