"""Whether a file is sound."""

from __future__ import annotations

from typing import Annotated

import typer

from . import sources
from .app import command
from .options import AllowNonfinite, Dt, Json, Model
from .verb import answer, question, show, verb


@command()
@question
def validate(
    model: Model, dt: Dt = None, allow_nonfinite: AllowNonfinite = False, as_json: Json = False
) -> None:
    """Say whether a file is valid and, if not, all that is wrong with it.

    The exit status is 0 if it is, 1 if it is not, 2 if there is no such file.
    """
    from t1c import sdk

    found = sdk.validate_file(sources.network(model), dt=dt, allow_nonfinite=allow_nonfinite)
    show(found, as_json)
    answer(found)


@command()
@question
def lint(
    model: Model,
    select: Annotated[
        str,
        typer.Option(metavar="CODES", help="Ask these rules alone: T101,T2 (all of T2..)."),
    ] = "",
    ignore: Annotated[str, typer.Option(metavar="CODES", help="Leave these rules out.")] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Say no to warnings too, not to errors alone.")
    ] = False,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Tell what is odd about a valid network: rules with stable codes, and what to do.

    The exit status is 0 if no error was found, 1 if one was, 2 if that cannot be told. t1c rules
    lists the rules.
    """
    from t1c import sdk

    found = sdk.lint_graph(
        sources.network(model), select=_codes(select) or None, ignore=_codes(ignore), dt=dt
    )
    show(found, as_json)
    answer(found.ok and not (strict and found.of("warning")))


@command()
@verb
def rules(as_json: Json = False) -> None:
    """List the rules of t1c lint: codes, severities, what they find and why it matters."""
    from t1c import sdk

    show(sdk.list_lint_rules(), as_json)


def _codes(text: str) -> list[str]:
    return [code.strip() for code in text.split(",") if code.strip()]
