"""What is in a file, and what there is to put in one."""

from __future__ import annotations

from typing import Annotated

import typer

from . import sources
from .app import command
from .options import AllowNonfinite, Dt, Json, Model
from .verb import show, verb


@command()
@verb
def info(
    model: Model, dt: Dt = None, allow_nonfinite: AllowNonfinite = False, as_json: Json = False
) -> None:
    """Show what a file holds: nodes, shapes, parameters, state, notes.

    For each node: the shape of its output without time and batch; how many numbers its parameters
    hold, and in how many bytes; how many numbers of state it carries from step to step for each
    sample; and which nodes its input comes from. (t-1) marks what was sent in the step before,
    (hold=N) an input that is given one value for N steps, (final) an output whose answer is the
    value at the last step.
    """
    from t1c import sdk

    path = sources.network(model)
    show(sdk.file_info(path, dt=dt, allow_nonfinite=allow_nonfinite), as_json)


@command()
@verb
def primitives(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="One of them, to be told all of.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what nodes there are: fields, state, and since which version of the format."""
    from t1c import sdk

    show(sdk.describe_primitives() if name is None else sdk.describe_primitive(name), as_json)
