"""A network at work on more samples than one process is for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import sources
from .app import command
from .options import AllowNonfinite, BatchSize, Dt, DType, Json, Model, Polarity, Quiet, Steps
from .verb import FAILED, show, verb


@command()
@verb
def score(
    model: Model,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUTS...",
            help="Shards of samples, or folders of them: .npz, .parquet, .tar (WebDataset), "
            "stores of Zarr, recordings.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Where the results go: a file for each shard.",
            show_default=False,
        ),
    ],
    on: Annotated[
        Literal["local", "ray"],
        typer.Option(
            metavar="WHERE",
            help="Who works: local, processes on this machine, or ray, a Ray cluster: the one "
            "that RAY_ADDRESS names, or one made here.",
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "-w",
            min=1,
            metavar="N",
            help="How many. Default: one for each GPU, or else for each processor.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        Literal["npz", "parquet"],
        typer.Option(metavar="FORMAT", help="Of the results: npz or parquet."),
    ] = "npz",
    steps: Steps = None,
    batch_size: BatchSize = 256,
    dtype: DType = "float32",
    reproducible: Annotated[
        bool,
        typer.Option("--reproducible", help="The same bits on processors of every kind."),
    ] = False,
    redo: Annotated[
        bool,
        typer.Option(
            "--redo", help="Make anew what another model or other options made; else it is refused."
        ),
    ] = False,
    quiet: Quiet = False,
    dt: Dt = None,
    polarity: Polarity = None,
    allow_nonfinite: AllowNonfinite = False,
    as_json: Json = False,
) -> None:
    """Score many shards of samples with many processes, and go on where it stopped.

    Each shard leaves a file of the same name in the folder, which appears whole or not at all:
    what t1c run writes for samples, and key, the names of samples that have some. Started again,
    whatever happened, the command passes over what is finished, makes anew what samples have
    changed of, and refuses a folder with results of another model or other options.

    A shard that fails does not stop the others; it is told at the end, and the exit status is 1.
    """
    from t1c import sdk
    from t1c.terminal import progress_bar

    with progress_bar(not quiet, "shards") as bar:
        report = sdk.score(
            sources.network(model),
            inputs,
            output,
            on=on,
            workers=workers,
            format=format,
            steps=steps,
            batch_size=batch_size,
            dtype=dtype,
            reproducible=reproducible,
            allow_nonfinite=allow_nonfinite,
            dt=dt,
            polarity=polarity,
            redo=redo,
            progress=bar.progress,
            stage=bar.stage,
        )
    if as_json or not quiet:
        show(report, as_json)
    if not report:
        raise typer.Exit(FAILED)
