"""One file made of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import sources
from .app import command
from .options import AllowNonfinite, Dt, Json, Model, NoVerify, Steps
from .sources import is_many
from .verb import FAILED, show, verb

if TYPE_CHECKING:
    from t1c.sdk import Report


@command()
@verb
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A .t1c or .nir file, or - to pipe one in; a folder of them, or a pattern. Or a "
            ".onnx file.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="The file to write; of several files, the folder.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(metavar="SUFFIX", help="Of several files: .t1c or .nir.", show_default=False),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Of several files: write those that are there too.")
    ] = False,
    dt: Dt = None,
    reset: Annotated[
        str | None,
        typer.Option(help="What NIR cannot say, such as subtract.", show_default=False),
    ] = None,
    integrator: Annotated[
        str | None,
        typer.Option(help="euler (as NIR means it) or exponential.", show_default=False),
    ] = None,
    dialect: Annotated[
        str | None,
        typer.Option(
            help="Of a .nir file to read: its producer, such as snntorch, or auto to tell it from "
            "the file; of one to write: whose importer is to run it.",
            show_default=False,
        ),
    ] = None,
    repair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Mend what is wrong with a .nir file: inner-names, flattened-names, batch-axis or "
            "flatten-batch; may be given several times.",
            show_default=False,
        ),
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Write what NIR cannot say as metadata.")
    ] = False,
    allow_nonfinite: AllowNonfinite = False,
    no_verify: NoVerify = False,
    as_json: Json = False,
) -> None:
    """Turn a .nir file into a .t1c file, or back; the suffixes say which.

    A .onnx file of a network without memory becomes a graph of its layers, if t1c[onnx] is
    installed.

    Several files, as in t1c convert models/ converted/ --to .t1c, keep their names; what is there
    already is passed over, and a file that fails does not keep the others from being written. The
    exit status is 1 if one failed.
    """
    from t1c import sdk

    several = is_many(source)
    of_one = {"--reset": reset, "--integrator": integrator, "--allow-nonfinite": allow_nonfinite}
    of_one |= {"--no-verify": no_verify}
    of_many = {"--to": to, "--again": again}
    for name, value in (of_one if several else of_many).items():
        if value:
            raise typer.BadParameter(f"{name} is for {'one file' if several else 'several files'}")
    report: Report
    if several:
        report = sdk.batch_convert(
            source,
            target,
            to=_suffix(to),
            dt=dt,
            dialect=dialect,
            repair=repair or (),
            lossy=lossy,
            overwrite=again,
        )
    else:
        report = sdk.convert(
            sources.network(source),
            target,
            dt=dt,
            reset=reset,
            integrator=integrator,
            dialect=dialect,
            repair=repair or (),
            lossy=lossy,
            allow_nonfinite=allow_nonfinite,
            verify=not no_verify,
        )
    show(report, as_json)
    if not report:
        raise typer.Exit(FAILED)


@command()
@verb
def quantize(
    model: Model,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="PATH", help="The .t1c file to write.", show_default=False
        ),
    ],
    bits: Annotated[int, typer.Option(min=2, max=16, help="Of weights.")] = 8,
    accumulator: Annotated[int, typer.Option(min=4, max=32, help="Bits of sums.")] = 16,
    state: Annotated[int, typer.Option(min=4, max=32, help="Bits of membranes.")] = 16,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Samples, an .npz file, on which to see how large numbers get.",
            show_default=False,
        ),
    ] = None,
    spikes: Annotated[
        bool, typer.Option("--spikes", help="Inputs bring spikes and nothing else.")
    ] = False,
    search: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="BYTES",
            help="A budget for weights and biases: bits are taken from the layers that miss them "
            "least.",
            show_default=False,
        ),
    ] = None,
    fit: Annotated[
        Literal["largest", "least_squares"],
        typer.Option(help="What the largest integer weight stands for."),
    ] = "largest",
    scales: Annotated[
        Literal["free", "power_of_two"], typer.Option(help="What the unit of a layer may be.")
    ] = "free",
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="NODE", help="Leave it in real numbers.", show_default=False),
    ] = None,
    steps: Steps = None,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Write a network in integers, and tell how far it is from the one in real numbers.

    What its inputs bring has to be known: --calibrate DATA shows it, --spikes says it.
    """
    from t1c import sdk

    report = sdk.quantize_file(
        sources.network(model),
        output,
        calibrate=calibrate,
        steps=steps,
        dt=dt,
        weight_bits=bits,
        accumulator_bits=accumulator,
        state_bits=state,
        inputs="spikes" if spikes else None,
        search=search,
        fit=fit,
        scales=scales,
        keep=keep or (),
    )
    show(report, as_json)


def _suffix(text: str | None) -> Literal[".t1c", ".nir"] | None:
    """A suffix, with or without its dot."""
    if text is None or text.lstrip(".") == "t1c":
        return None if text is None else ".t1c"
    if text.lstrip(".") == "nir":
        return ".nir"
    raise typer.BadParameter(f"--to {text!r} is neither .t1c nor .nir")
