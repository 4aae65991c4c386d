"""The five functions that cross between NIR and graphs."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from t1c import ir
from t1c.ir.errors import GraphWarning, NodeError, Problem, T1CError
from t1c.ir.fields import show
from t1c.ir.hdf5_guard import StrPath
from t1c.ir.topology import Edge

from .conventions import KEY
from .exporter import export
from .file_read import read_raw
from .file_write import write_raw
from .importer import Importer
from .losses import LossReport
from .memory import nir_of, raw_of
from .raw import NirGraph
from .repairs import REPAIRS, checked, repaired, serving
from .settle import settle
from .suspicion import warn_of_reset


def read(
    path: StrPath,
    *,
    dt: float | None = None,
    reset: str | None = None,
    integrator: str | None = None,
    dialect: str | None = None,
    feedback: Iterable[Edge] = (),
    repair: Iterable[str] = (),
    allow_nonfinite: bool = False,
) -> ir.Graph:
    """Read a ``.nir`` file as NIR defines it, or as its producer meant it.

    Args:
        path: the file.
        dt: seconds in one step. No NIR file says it, so there is no default; files that t1c wrote
            and dialects have one.
        reset: 'subtract', 'zero' or 'none', for neurons whose reset the file cannot say; None for
            v_reset as the file has it (0 where it has none), or the dialect's.
        integrator: 'euler' (beta = 1 - dt/tau) or 'exponential' (beta = exp(-dt/tau)); None for
            'euler', or the dialect's.
        dialect: 'snntorch', 'norse', 'sinabs', 'spikingjelly', 'rockpool', 'lava' or 'spyx': how
            that producer's files are meant (see ``DIALECTS``); 'auto' to tell it from the file.
        feedback: edges of the graph that run back in time, where the rule cannot decide.
        repair: what is wrong with the file and to be mended, by name: 'inner-names',
            'flattened-names', 'batch-axis' or 'flatten-batch' (see ``REPAIRS``). The refusal of a
            file says which would serve.
        allow_nonfinite: accept NaN and infinite parameters.

    Returns:
        The graph. ``metadata['nir']`` says by which conventions it was read, remarks, and repairs.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is not a .nir file, or is damaged; lists all problems found.
        ConventionError: dt is not known, or 'auto' cannot tell.
        GraphError: listing every node and field that cannot be imported.
        InputError: a repair is unknown, finds nothing to mend, or the file opens without it.

    Warns:
        ResetWarning: the name of the file or of a neuron, or who wrote it, suggests another reset
            than the one that it is read with; ``reset`` says which is right.

    Example:
        >>> graph = read("model.nir", dt=1e-4)  # doctest: +SKIP
    """
    raw = read_raw(path)
    try:
        return _imported(
            raw, path, dt, reset, integrator, dialect, feedback, repair, allow_nonfinite
        )
    except T1CError as error:
        raise type(error)(error.problems, str(path)) from None


def from_nir(
    graph: Any,
    *,
    dt: float | None = None,
    reset: str | None = None,
    integrator: str | None = None,
    dialect: str | None = None,
    feedback: Iterable[Edge] = (),
    repair: Iterable[str] = (),
    allow_nonfinite: bool = False,
) -> ir.Graph:
    """Import a ``nir.NIRGraph`` in memory; everything else as for ``read``.

    Example:
        >>> graph = from_nir(nir.read("model.nir"), dt=1e-4)  # doctest: +SKIP
    """
    raw = raw_of(graph)
    return _imported(raw, None, dt, reset, integrator, dialect, feedback, repair, allow_nonfinite)


def write(
    path: StrPath,
    graph: ir.Graph,
    dt: float | None = None,
    *,
    lossy: bool = False,
    dialect: str | None = None,
) -> LossReport:
    """Write a graph to a ``.nir`` file.

    A graph that came from NIR becomes what it was: the same names, types, values and edges, but
    for what was changed since.

    With ``dialect`` it becomes what one framework's importer runs with the same spikes: its reset,
    its comparison, its unit of time, its order of nodes; batch norms are folded, and whatever that
    importer would drop, ignore or read as something else is refused. docs/nir.md has a table.

    Args:
        path: where to; the file appears whole or not at all.
        graph: the graph.
        dt: seconds in one step; a graph that came from NIR knows it, and so does a dialect.
        lossy: keep what NIR cannot say in metadata, where t1c finds it and others do not.
        dialect: 'snntorch', 'norse', 'sinabs', 'spikingjelly', 'lava', 'rockpool' or 'spyx': for
            whose importer to write; None for any that keeps to NIR.

    Returns:
        What was lost to other readers; false if nothing was. For a named reader, what is written
        otherwise than the graph has it, and how the file is read there.

    Raises:
        ConventionError: dt is not known, or not one that the reader takes.
        UnsupportedError: listing all that NIR cannot say, or that the named reader would not run
            as it is meant, with the remedies.
        OSError: the place cannot be written to.

    Example:
        >>> report = write("model.nir", graph, dt=1e-4)  # doctest: +SKIP
        >>> report = write("model.nir", graph, dialect="norse")  # doctest: +SKIP
    """
    if not isinstance(graph, ir.Graph):
        raise NodeError(
            Problem(
                f"write(path, graph) was given {show(graph)}",
                "a Graph",
                "Mind the order: the path comes first.",
            )
        )
    raw, report = export(graph, dt, lossy=lossy, dialect=dialect, for_file=True)
    write_raw(path, raw)
    return report


def to_nir(
    graph: ir.Graph,
    dt: float | None = None,
    *,
    lossy: bool = False,
    dialect: str | None = None,
) -> Any:
    """Export a graph as a ``nir.NIRGraph``; everything else as for ``write``.

    What is lost is warned of with a GraphWarning; ``loss_report`` tells it beforehand.

    Raises:
        UnsupportedError: the nir package is not installed, or NIR cannot say all of the graph.
    """
    raw, report = export(graph, dt, lossy=lossy, dialect=dialect)
    if report:
        warnings.warn(str(report), GraphWarning, stacklevel=2)
    return nir_of(raw)


def loss_report(
    graph: ir.Graph, dt: float | None = None, *, dialect: str | None = None
) -> LossReport:
    """What an export with ``lossy=True`` would lose, or one for a reader would change."""
    return export(graph, dt, lossy=not dialect, dialect=dialect)[1]


def _imported(
    raw: NirGraph,
    path: StrPath | None,
    dt: float | None,
    reset: str | None,
    integrator: str | None,
    dialect: str | None,
    feedback: Iterable[Edge],
    repair: Iterable[str],
    allow_nonfinite: bool,
) -> ir.Graph:
    c = settle(raw, dt=dt, reset=reset, integrator=integrator, dialect=dialect)
    back = list(feedback)

    def graph_of(raw: NirGraph, remarks: Iterable[str] = ()) -> ir.Graph:
        told = dataclasses.replace(c, remarks=(*c.remarks, *remarks))
        importer = Importer(told, overridden=reset is not None, allow_nonfinite=allow_nonfinite)
        return importer.run(raw, back)

    def opens(raw: NirGraph) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                graph_of(raw)
            except T1CError:
                return False
        return True

    names = checked(repair)
    if names:
        mended, remarks = repaired(raw, names, opens)
        graph = graph_of(mended, remarks)
        graph.metadata[KEY]["repairs"] = list(names)
    else:
        try:
            graph = graph_of(raw)
        except T1CError as error:
            helpful = serving(raw, opens)
            if not helpful:
                raise
            raise type(error)([*error.problems, _would_serve(helpful)], error.heading) from None
    warn_of_reset(raw, c, path, told=reset, asked=dialect)
    return graph


def _would_serve(names: Sequence[str]) -> Problem:
    asked = " ".join(f"--repair {name}" for name in names)
    return Problem(
        "; ".join(REPAIRS[name].slip for name in names),
        remedy=f"Read it with repair={list(names)}; t1c convert {asked} writes it mended.",
        where="what is wrong with it",
    )
