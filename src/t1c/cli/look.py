"""What is in a file, and what there is to put in one."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from . import sources
from .app import command
from .options import AllowNonfinite, Dt, Json, Model, NoVerify
from .verb import answer, question, show, verb


@command()
@verb
def info(
    model: Model,
    dt: Dt = None,
    allow_nonfinite: AllowNonfinite = False,
    no_verify: NoVerify = False,
    as_json: Json = False,
) -> None:
    """Show what a file holds: nodes, shapes, parameters, state, neurons, notes.

    For each node: the shape of its output without time and batch; how many numbers its parameters
    hold, and in how many bytes; how many numbers of state it carries from step to step for each
    sample; and which nodes its input comes from. (t-1) marks what was sent in the step before,
    (hold=N) an input that is given one value for N steps, (final) an output whose answer is the
    value at the last step. Of a .nir file that does not say its step, and without --dt, times are
    told in seconds.
    """
    from t1c import sdk

    path = sources.network(model)
    options = {"allow_nonfinite": allow_nonfinite, "verify": not no_verify}
    show(sdk.file_info(path, dt=dt, **options), as_json)


@command()
@question
def trace(
    model: Model,
    start: Annotated[str, typer.Argument(metavar="FROM", help="A node; g/n in a nested graph g.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="Another.")],
    shortest: Annotated[bool, typer.Option("--shortest", help="The shortest ways alone.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="List so many ways at most; all are counted.")
    ] = 10,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """List the ways from one node to another along the edges.

    The exit status is 0 if there is one, 1 if there is none, 2 if there is no such node.
    """
    from t1c import sdk

    network = sources.network(model)
    which: Literal["all", "shortest"] = "shortest" if shortest else "all"
    found = sdk.trace_path(network, start, end, which, limit=limit, dt=dt)
    show(found, as_json)
    answer(found.paths)


@command()
@question
def find(
    model: Model,
    pattern: Annotated[
        str,
        typer.Argument(metavar="PATTERN", help="Primitives in a row, such as 'Conv2d->LIF'."),
    ],
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Find the chains of nodes whose primitives are those of a pattern.

    The exit status is 0 if there is one, 1 if there is none, 2 if the pattern says nothing.
    """
    from t1c import sdk

    found = sdk.find_pattern(sources.network(model), pattern, dt=dt)
    show(found, as_json)
    answer(found)


@command()
@verb
def primitives(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One of them: tell all of it.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what nodes there are: fields, state, and since which version of the format.

    Fields in brackets may be left out. With NAME, what that node computes is told too.
    """
    from t1c import sdk

    show(sdk.describe_primitives() if name is None else sdk.describe_primitive(name), as_json)
