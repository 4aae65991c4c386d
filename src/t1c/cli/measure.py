"""What a network is and costs, and what it does on samples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import sources
from .app import command
from .options import A, AllowNonfinite, B, BatchSize, Dt, DType, Json, Model, Node, Steps
from .verb import show, verb

if TYPE_CHECKING:
    from t1c.sdk import EnergyTable

Samples = Annotated[
    Path | None,
    typer.Option(
        "--input",
        "-i",
        metavar="DATA",
        help="Samples to run on, as for t1c run; without, nothing is run.",
        show_default=False,
    ),
]
Positional = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DATA]", help="Samples to run on, as for t1c run; or -i DATA.", show_default=False
    ),
]
Energy = Annotated[
    str,
    typer.Option(
        metavar="TABLE",
        help="Energy of an operation, at 45 nm: float32, float16, int32 or int8; or your own "
        "figures, picojoules of a MAC and of an AC: 4.6,0.9.",
    ),
]


@command()
@verb
def analyze(
    model: Model,
    node: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One node alone; g/n in a nested graph g."),
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="A few sentences.")] = False,
    dt: Dt = None,
    allow_nonfinite: AllowNonfinite = False,
    as_json: Json = False,
) -> None:
    """Tell what a network is and costs before it runs: sizes, operations, depth, neurons.

    MACs are the multiply-accumulates of one step of one sample, done densely. Neurons are told by
    what they are set to: values or ranges, times in steps, and in seconds where a dt is known.
    """
    from t1c import sdk

    path = sources.network(model)
    if node is not None:
        found: sdk.Report = sdk.analyze_node(path, node, dt=dt, allow_nonfinite=allow_nonfinite)
    elif brief:
        found = sdk.summarize(path, dt=dt, allow_nonfinite=allow_nonfinite)
    else:
        found = sdk.analyze_graph(path, dt=dt, allow_nonfinite=allow_nonfinite)
    show(found, as_json)


@command()
@verb
def profile(
    model: Model,
    data: Positional = None,
    given: Samples = None,
    steps: Steps = None,
    batch_size: BatchSize = 256,
    dtype: DType = "float32",
    energy: Energy = "float32",
    saturated: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="A neuron that fires in this share of all steps is saturated."
        ),
    ] = 0.95,
    dt: Dt = None,
    allow_nonfinite: AllowNonfinite = False,
    as_json: Json = False,
) -> None:
    """Measure memory, spikes, rates, dead neurons, synaptic operations; estimate energy.

    Without samples: the memory of weights, activations and state, and operations done densely.
    With them the network is run: what its neurons send, which are dead (never fire) or saturated,
    and synaptic operations by NeuroBench's definitions. Energy is an estimate from published
    figures, of these operations alone.
    """
    from t1c import sdk
    from t1c.terminal import progress_bar

    table = _energy(energy)
    network = sources.network(model)
    samples = sources.one_of(data, given)
    with progress_bar(samples is not None) as bar:
        bar.stage("loading PyTorch, compiling")
        found = sdk.profile_graph(
            network,
            samples,
            steps=steps,
            dt=dt,
            batch_size=batch_size,
            dtype=dtype,
            energy=table,
            saturated=saturated,
            allow_nonfinite=allow_nonfinite,
            progress=bar.progress,
        )
    show(found, as_json)


@command()
@verb
def compare(
    a: A,
    b: B,
    data: Positional = None,
    given: Samples = None,
    steps: Steps = None,
    batch_size: BatchSize = 256,
    dtype: DType = "float32",
    energy: Energy = "float32",
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """Set what two networks cost side by side; with samples, what they do on them too."""
    from t1c import sdk

    found = sdk.compare_costs(
        sources.network(a),
        sources.network(b),
        sources.one_of(data, given),
        steps=steps,
        dt=dt,
        batch_size=batch_size,
        dtype=dtype,
        energy=_energy(energy),
    )
    show(found, as_json)


@command()
@verb
def stats(
    model: Model,
    node: Annotated[
        str | None, typer.Argument(metavar="[NODE]", help="One node alone.", show_default=False)
    ] = None,
    dt: Dt = None,
    as_json: Json = False,
) -> None:
    """List minimum, maximum, mean, deviation and share of zeros of every array."""
    from t1c import sdk

    show(sdk.get_node_statistics(sources.network(model), node, dt=dt), as_json)


@command()
@verb
def node(model: Model, name: Node, dt: Dt = None, as_json: Json = False) -> None:
    """Tell all of one node: fields, statistics, neighbours, shapes, state, meaning."""
    from t1c import sdk

    show(sdk.inspect_node(sources.network(model), name, dt=dt), as_json)


def _energy(text: str) -> EnergyTable:
    """A table by its name, or made of two figures."""
    from t1c import sdk

    named = {table.name.split()[-1]: table for table in sdk.TABLES}
    if text in named:
        return named[text]
    figures = re.fullmatch(r"([0-9.]+(?:e-?\d+)?),([0-9.]+(?:e-?\d+)?)", text)
    try:
        mac, ac = map(float, figures.groups() if figures else ())
    except ValueError:
        names = ", ".join(named)
        raise typer.BadParameter(
            f"--energy {text!r} is none of {names}, and not two figures such as 4.6,0.9"
        ) from None
    return sdk.EnergyTable("as given", "the command line", mac=mac, ac=ac)
