"""Arguments and options that several verbs share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
"""Seconds in the units that a time may have."""


def seconds(text: str) -> float:
    """A time such as 1e-4, 100us or 0.1 ms, in seconds.

    Raises:
        typer.BadParameter: it is none.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-zµμ]*)\s*", str(text), re.I)
    if match is None or match[2] not in UNITS:
        raise typer.BadParameter(f"{text!r} is no time; write seconds (1e-4) or a unit (100us)")
    try:
        number, unit = float(match[1]), UNITS[match[2]]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time") from None
    if not number > 0:
        raise typer.BadParameter(f"{text!r}; a step takes longer than no time")
    # 100us is the 1e-4 that it means, and not the nearest product.
    return number if unit == 1 else float(f"{number * unit:.15g}")


Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="The network: a .t1c or .nir file, or - to pipe one in.",
        show_default=False,
    ),
]  # fmt: skip
A = Annotated[
    Path,
    typer.Argument(
        metavar="A", help="A network: a .t1c or .nir file, or - to pipe one in.", show_default=False
    ),
]
B = Annotated[Path, typer.Argument(metavar="B", help="The other.", show_default=False)]
Node = Annotated[
    str,
    typer.Argument(
        metavar="NODE", help="A node by name; g/n in a nested graph g.", show_default=False
    ),
]
Dt = Annotated[
    float | None,
    typer.Option(
        "--dt",
        metavar="TIME",
        parser=seconds,
        help="One step of a .nir file that does not say it, or of a recording: seconds (1e-4), or "
        "with a unit (100us).",
        show_default=False,
    ),
]
Polarity = Annotated[
    Literal["sum", "on", "off"] | None,
    typer.Option(
        metavar="CHANNEL",
        help="Of a recording, for a network with one channel: sum, on or off.",
        show_default=False,
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Which recording, in a file that holds many (.h5).",
        show_default=False,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else; errors too.")
]
DType = Annotated[
    Literal["float32", "float64", "bfloat16"],
    typer.Option(metavar="TYPE", help="Of the arithmetic: float32, float64 or bfloat16."),
]
Precision = Annotated[
    Literal["float32", "float64"],
    typer.Option(metavar="TYPE", help="Of the arithmetic: float32 or float64."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")]
AllowNonfinite = Annotated[
    bool, typer.Option("--allow-nonfinite", help="Accept NaN and infinite numbers.")
]
NoVerify = Annotated[
    bool,
    typer.Option("--no-verify", help="Take a .t1c file as it is, whatever its checksums say."),
]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="T",
        help="For how many steps to show samples without a time axis. Default: the number steps "
        "among the samples, or else what the network's inputs hold for, or else the number steps "
        "in its metadata.",
        show_default=False,
    ),
]
BatchSize = Annotated[
    int, typer.Option(min=1, metavar="B", help="Samples at once; results do not depend on it.")
]
