"""The ``t1c`` command. Every verb calls one function of ``t1c.sdk`` and shows what it returns.

Results go to stdout; progress, warnings and errors to stderr. Exit status: 0 done, 1 could not be
done, 2 not understood.

What a verb needs is imported when it runs, so that help and version answer at once.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from t1c import __version__

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    # A bug should look like one: Python's own traceback, ready for an issue.
    pretty_exceptions_enable=False,
)

Model = Annotated[
    Path, typer.Argument(metavar="MODEL.t1c", help="The network.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
DType = Annotated[
    Literal["float32", "float64", "bfloat16"],
    typer.Option(metavar="TYPE", help="Of the arithmetic: float32, float64 or bfloat16."),
]
AllowNonfinite = Annotated[
    bool, typer.Option("--allow-nonfinite", help="Accept NaN and infinite numbers.")
]


def main() -> None:
    """Run the command line: the entry point of the ``t1c`` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is spelled out, not a crash.
            stream.reconfigure(errors="backslashreplace")
    _wait_asleep()
    app()


def _wait_asleep() -> None:
    """Have OpenMP's threads sleep while they wait, unless the user says how they shall.

    A command may share its machine. OpenMP reads the variable when torch is imported, later on.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["OMP_WAIT_POLICY"] = "passive"


@contextlib.contextmanager
def plain_messages() -> Iterator[None]:
    """Decorator of verbs: expected errors and warnings become one plain message on stderr.

    Anything else is a bug, and keeps its traceback.
    """
    from t1c import ir

    def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
        _say("warning", str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show_warning
        try:
            yield
        except (ir.T1CError, OSError, MemoryError) as error:
            _say("error", _reason(error))
            raise typer.Exit(1) from None


def _say(kind: str, text: str) -> None:
    from t1c.terminal import visible

    typer.echo("\n".join(visible(line) for line in f"{kind}: {text}".split("\n")), err=True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or "out of memory"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"t1c {__version__}")
        raise typer.Exit


@app.callback()
def t1c(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """A spiking neural network as one file with one meaning."""


@app.command()
@plain_messages()
def info(model: Model, as_json: Json = False, allow_nonfinite: AllowNonfinite = False) -> None:
    """Show what a .t1c file holds: nodes, shapes, parameters, state, notes.

    For each node: the shape of its output without time and batch; how many numbers its parameters
    hold, and in how many **bytes**; how many numbers of **state** it carries from step to step for
    each sample; and which nodes its input comes **from**. (t-1) marks what was sent in the step
    before, (hold=N) an input that is given one value for N steps, (final) an output whose answer is
    the value at the last step.
    """
    from t1c import sdk

    found = sdk.file_info(model, allow_nonfinite=allow_nonfinite)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    from t1c.terminal import print_info

    print_info(found)


@app.command()
@plain_messages()
def run(
    model: Model,
    data: Annotated[
        Path, typer.Argument(metavar="DATA.npz", help="The samples.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the results go. Default: DATA_results.npz in the working folder.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="T",
            help="For how many steps to show samples without a time axis. "
            "Default: the number steps in DATA.npz, or else what the network's inputs hold for, "
            "or else the number steps in its metadata.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(min=1, metavar="B", help="Samples at once; results do not depend on it."),
    ] = 256,
    dtype: DType = "float32",
    keep_steps: Annotated[
        bool, typer.Option("--keep-steps", help="Write the output of every step as well.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")
    ] = False,
    as_json: Json = False,
    allow_nonfinite: AllowNonfinite = False,
) -> None:
    """Run a network on samples, tell how it did, and write what came out.

    DATA.npz holds the input **x**: (T, N, ...) is a sequence of T steps for N samples; (N, ...)
    has no time axis and is shown at every step. A network with several inputs takes x/NAME for
    each. With labels **y** or **labels**, integers (N,), the accuracy is told.

    The results hold **out_sum**, the output summed over time (N, ...), or **answer** (N, ...), the
    value at the last step, of an output that is final; **prediction** (N,), the class with the
    largest of these, where the output is one number per class; and with --keep-steps **out**
    (T, N, ...). A network with several outputs gives out_sum/NAME and so on for each.
    """
    from t1c import sdk
    from t1c.terminal import print_run, progress_bar

    with progress_bar(not quiet) as progress:
        report = sdk.run_file(
            model,
            data,
            output,
            steps=steps,
            batch_size=batch_size,
            dtype=dtype,
            keep_steps=keep_steps,
            allow_nonfinite=allow_nonfinite,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    elif not quiet:
        print_run(report)


@app.command()
@plain_messages()
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A .t1c or .nir file.", show_default=False)
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The file to write.", show_default=False)
    ],
    dt: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="The time step of a NIR file, which does not say it.",
            show_default=False,
        ),
    ] = None,
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
        typer.Option(help="The habits of a producer, such as snntorch.", show_default=False),
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Write what NIR cannot say as metadata.")
    ] = False,
    allow_nonfinite: AllowNonfinite = False,
    as_json: Json = False,
) -> None:
    """Turn a .nir file into a .t1c file, or back; the suffixes say which."""
    from t1c import sdk

    report = sdk.convert(
        source,
        target,
        dt=dt,
        reset=reset,
        integrator=integrator,
        dialect=dialect,
        lossy=lossy,
        allow_nonfinite=allow_nonfinite,
    )
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
        return
    typer.echo(f"{report.source} -> {report.target}: {report.nodes} nodes")
    for key, value in report.conventions.items():
        typer.echo(f"  {key}: {value}")
    for loss in report.losses:
        typer.echo(f"  lost: {loss}")


@app.command()
@plain_messages()
def verify(
    a: Annotated[Path, typer.Argument(metavar="A", help="A network.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="The other.", show_default=False)],
    data: Annotated[
        Path,
        typer.Option("--input", "-i", metavar="DATA.npz", help="The samples.", show_default=False),
    ],
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="T",
            help="For how many steps to show samples without a time axis, as for t1c run.",
            show_default=False,
        ),
    ] = None,
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
    dt: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="The time step of .nir files that lack it.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run two networks on the same samples and tell whether, where and why they differ.

    A and B are .t1c or .nir files; DATA.npz is as for `t1c run`. The exit status is 1 if they
    differ.
    """
    from t1c import sdk
    from t1c.terminal import visible

    report = sdk.verify_files(
        a,
        b,
        data,
        steps=steps,
        dtype=dtype,
        tolerance=tolerance,
        outputs_only=outputs_only,
        dt=dt,
    )
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        typer.echo("\n".join(visible(line) for line in str(report).split("\n")))
    if not report:
        raise typer.Exit(1)
