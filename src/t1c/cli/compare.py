"""Two networks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import sources
from .app import command
from .options import A, B, Dt, DType, Json, Model, Steps
from .verb import answer, print_json, question, show, verb


@command()
@question
def verify(
    a: A,
    b: B,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA", help="The samples, an .npz file; or -i DATA.", show_default=False
        ),
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option("--input", "-i", metavar="DATA", help="The samples.", show_default=False),
    ] = None,
    steps: Steps = None,
    dtype: DType = "float32",
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="How far apart equal numbers may be, relative to the largest of their node. "
            "Default: 64 units of rounding. 0: the same bits.",
            show_default=False,
        ),
    ] = None,
    outputs_only: Annotated[
        bool, typer.Option("--outputs-only", help="Compare outputs, not nodes of the same name.")
    ] = False,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Run two networks on the same samples and tell whether, where and why they differ.

    DATA is as for t1c run. A .nir file that does not say its dt takes that of the other, where it
    is recorded. The exit status is 0 if they agree, 1 if they differ, 2 if that cannot be told.
    """
    from t1c import sdk
    from t1c.terminal import print_text

    samples = sources.one_of(data, given)
    if samples is None:
        raise typer.BadParameter("no samples to run on: t1c verify A B DATA")
    report = sdk.verify_files(
        sources.network(a),
        sources.network(b),
        samples,
        steps=steps,
        dtype=dtype,
        tolerance=tolerance,
        outputs_only=outputs_only,
        dt=dt,
    )
    if as_json:
        print_json(report.to_dict())
    else:
        print_text(sources.as_given(str(report)))
    answer(report)


@command()
@question
def diff(
    a: A,
    b: B,
    rtol: Annotated[
        float, typer.Option(min=0.0, help="Numbers are equal within this share of b's ...")
    ] = 0.0,
    atol: Annotated[float, typer.Option(min=0.0, help="... and this much.")] = 0.0,
    structure: Annotated[
        bool, typer.Option("--no-metadata", help="Leave notes, and the order of nodes, alone.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="PAGE",
            help="Also write both networks as one picture: added, removed, changed.",
            show_default=False,
        ),
    ] = None,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Tell what changed from one network to another: nodes, fields, edges, notes.

    The exit status is 0 if they are equal, 1 if they differ, 2 if that cannot be told.
    """
    from t1c import sdk

    if page is not None and page.suffix.lower() not in (".html", ".htm", ".svg"):
        raise typer.BadParameter(f"a page {page.name!r}; it ends in .html or .svg")
    pair = sources.network(a), sources.network(b)
    found = sdk.compare_graphs(
        *pair, rtol=rtol, atol=atol, metadata=not structure, order=not structure, dt=dt
    )
    if page is not None:
        from t1c import viz
        from t1c.ir.atomic import write_text

        if page.suffix.lower() == ".svg":
            drawn = viz.to_svg(viz.diff_to_dict(*pair, dt=dt))
        else:
            drawn = viz.diff_html(*pair, dt=dt)
        write_text(page, drawn)
    show(found, as_json)
    answer(found)


@command(name="hash")
@verb
def hash_(
    model: Model,
    structure: Annotated[
        bool, typer.Option("--structure", help="Leave the numbers in arrays out.")
    ] = False,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Print the fingerprint of a network: the same on every platform, in any order of nodes."""
    from t1c import sdk

    show(sdk.hash_file(sources.network(model), not structure, dt=dt), as_json)


@command()
@question
def stamp(
    model: Model,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write. Default: MODEL itself, which is replaced.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing: is the network what its stamp says?"),
    ] = False,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write the fingerprint of a network into its file, or check the one that is there.

    Without -o the file itself is replaced, whole or not at all; what was written is said.

    With --check, the exit status is 0 if the network is unchanged, 1 if it is not or was never
    stamped, 2 if that cannot be told.
    """
    from t1c import sdk

    network = sources.network(model)
    if check:
        found = sdk.verify_fingerprint(network, dt=dt)
        show(found, as_json)
        answer(found)
    elif output is None and str(model) == "-":
        raise typer.BadParameter("what is piped in needs a place: -o FILE")
    else:
        show(sdk.stamp_file(network, output, dt=dt), as_json)
