"""The command itself, to which each file of verbs adds its own."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from t1c import __version__

from .usage import Verb, Verbs
from .verb import NOT_UNDERSTOOD

F = TypeVar("F", bound=Callable[..., Any])

app = typer.Typer(
    cls=Verbs,
    invoke_without_command=True,
    # Plain help: at once, without codes, and as wide as the terminal.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    # A bug should look like one: Python's own traceback, ready for an issue.
    pretty_exceptions_enable=False,
)


def command(name: str | None = None) -> Callable[[F], F]:
    """Decorator that makes a function a verb of the command."""
    return app.command(name, cls=Verb)


def main() -> None:
    """Run the command line: the entry point of the ``t1c`` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is spelled out, not a crash.
            stream.reconfigure(errors="backslashreplace")
    # Who is told to end tidies up: half-written files go.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    _wait_asleep()
    app()


def _wait_asleep() -> None:
    """Have OpenMP's threads sleep while they wait, unless the user says how they shall.

    A command may share its machine. OpenMP reads the variable when torch is imported, later on.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"t1c {__version__}")
        raise typer.Exit


@app.callback(
    epilog="t1c VERB -h tells more. Exit status: 0 done, or yes; 1 failed, or no; 2 not understood."
)
def t1c(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option(
            "--traceback",
            help="Show Python's traceback of an error too; may stand anywhere. "
            "T1C_TRACEBACK=1 does the same.",
        ),
    ] = False,
) -> None:
    """A spiking neural network as one file with one meaning."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(NOT_UNDERSTOOD)
