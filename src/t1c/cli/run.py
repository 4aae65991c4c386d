"""A network at work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import sources
from .app import command
from .options import (
    AllowNonfinite,
    BatchSize,
    Dt,
    DType,
    Json,
    Model,
    Polarity,
    Quiet,
    Sample,
    Steps,
)
from .sources import is_many
from .verb import FAILED, show, verb

if TYPE_CHECKING:
    from t1c.sdk import Report


STDOUT = 1


@command()
@verb
def run(
    model: Model,
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="The samples: an .npz file, or - to pipe one in; a recording of an event camera; "
            "or several, folders of them, patterns.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The file for the results; a folder for those of several files. Default, for "
            "one file: DATA_results.npz in the working folder.",
            show_default=False,
        ),
    ] = None,
    steps: Steps = None,
    batch_size: BatchSize = 256,
    dtype: DType = "float32",
    keep_steps: Annotated[
        bool, typer.Option("--keep-steps", help="Write the output of every step as well.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="With several files: run those that are finished too.")
    ] = False,
    quiet: Quiet = False,
    dt: Dt = None,
    polarity: Polarity = None,
    sample: Sample = None,
    allow_nonfinite: AllowNonfinite = False,
    as_json: Json = False,
) -> None:
    """Run a network on samples, tell how it did, and write what came out.

    DATA holds the input x: (T, N, ...) is a sequence of T steps for N samples; (N, ...) has no
    time axis and is shown at every step. A network with several inputs takes x/NAME for each. With
    labels y or labels, integers (N,), the accuracy is told.

    The results hold out_sum, the output summed over time (N, ...), or answer (N, ...), the value
    at the last step, of an output that is final; prediction (N,), the class with the largest of
    these, where the output is one number per class; and with --keep-steps out (T, N, ...). A
    network with several outputs gives out_sum/NAME and so on for each.

    A recording (.aedat4, .aedat, .raw, .dat, .es, .bin, .npy, .h5, or an .npz with t, x, y and p)
    is one sample, whose events are counted in each step of --dt, as in
    t1c run MODEL hand.aedat4 --dt 1ms.

    Several files, as in t1c run MODEL data/*.npz -o results/, each leave a file of the same name in
    the folder. Started again, the command passes over what is finished: what the same model made of
    the same samples with the same options. The exit status is 1 if one of them failed.
    """
    from t1c import sdk
    from t1c.ir.atomic.target import own_descriptor
    from t1c.terminal import progress_bar

    several = len(data) > 1 or is_many(data[0])
    if several and output is None:
        raise typer.BadParameter("several files of samples need a folder for their results: -o")
    options: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "dtype": dtype,
        "keep_steps": keep_steps,
        "allow_nonfinite": allow_nonfinite,
        "dt": dt,
        "polarity": polarity,
    }
    network = sources.network(model)
    given = [sources.samples(path) for path in data]
    report: Report
    if output is not None and (several or _is_folder(output)):
        if sample is not None:
            raise typer.BadParameter("--sample is of one file, and results then are one file")
        with progress_bar(not quiet, "files") as bar:
            options |= {"progress": bar.progress, "stage": bar.stage}
            report = sdk.run_files(network, given, output, again=again, **options)
    else:
        with progress_bar(not quiet, "samples") as bar:
            options |= {"progress": bar.progress, "stage": bar.stage}
            report = sdk.run_file(network, given[0], output, sample=sample, **options)
    # Results on standard output are not followed by a summary of them.
    piped = output is not None and own_descriptor(output) == STDOUT
    if (as_json or not quiet) and not piped:
        show(report, as_json)
    if not report:
        raise typer.Exit(FAILED)


def _is_folder(path: str) -> bool:
    """Whether a path is a folder, or says that it is one by the / at its end."""
    return os.path.isdir(path) or path.endswith(("/", os.sep))
