"""Two networks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import sources
from .app import command
from .options import Dt, DType, Json, Steps
from .verb import answer, print_json, question

A = Annotated[
    Path,
    typer.Argument(metavar="A", help="A network: a .t1c or .nir file, or -.", show_default=False),
]
B = Annotated[Path, typer.Argument(metavar="B", help="The other.", show_default=False)]


@command()
@question
def verify(
    a: A,
    b: B,
    data: Annotated[
        Path,
        typer.Option(
            "--input", "-i", metavar="DATA", help="The samples, an .npz file.", show_default=False
        ),
    ],
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

    report = sdk.verify_files(
        sources.network(a),
        sources.network(b),
        sources.samples(data),
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
