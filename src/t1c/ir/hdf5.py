"""The ``.t1c`` file: HDF5, one group per node, one dataset per field.

Layout::

    /version                     text, the lowest format version that can read the file
    /graph/type                  'Graph'
    /graph/nodes/<name>/type     the primitive, and one dataset for each field
    /graph/edges/src, .../dst    text arrays of equal length
    /graph/metadata/...          nested groups
    /graph/allow_cycles          True, where the graph may hold cycles
    /checksums/xxh3_64           a number for each dataset and group (see ``ir.checksums``)

Arrays keep their dtype; integers, floats and booleans are scalars, tuples integer arrays, None is
absent. A field that came with a later version and is in use changes the type name to
``<primitive>@<version>``: readers before that version refuse the name, where they would ignore the
field. Files are hostile until proven otherwise: links, external data, huge declarations and loops
are refused before anything is read.
"""

from __future__ import annotations

from typing import Literal

from .atomic import writing_hdf5
from .errors import GraphError, InputError, NodeError, Problem, T1CFormatError, VersionError
from .fields import show
from .graph import Graph
from .hdf5_guard import StrPath, opened
from .hdf5_layout import FORMAT_VERSION, needed_version, numbers
from .hdf5_read import Reader
from .hdf5_write import bytes_of, write_file


def read(
    path: StrPath,
    *,
    allow_nonfinite: bool = False,
    verify: bool = True,
    unknown: Literal["refuse", "keep"] = "refuse",
) -> Graph:
    """Read a ``.t1c`` file.

    Args:
        path: the file.
        allow_nonfinite: accept NaN and infinite parameters.
        verify: check what is read against the checksums in the file; if not, a damaged weight is
            read as the number that it has become. A file of another writer has none.
        unknown: what to do about primitives that this version does not know, those of later
            versions of the format among them: 'refuse' the file; or 'keep' them as they are, as
            ``Unknown`` nodes, which ``write`` writes again. Such a graph cannot run.

    Returns:
        The graph, checked, with all shapes inferred.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is not a .t1c file, or is damaged; lists all problems found.
        VersionError: it was written by a later version of the format.
        GraphError: the file is sound, but its nodes and edges do not make a valid graph.

    Example:
        >>> graph = ir.read("model.t1c")  # doctest: +SKIP
    """
    if unknown not in ("refuse", "keep"):
        raise InputError(Problem(f"unknown={unknown!r}", "'refuse' or 'keep'", field="unknown"))
    with opened(path, "a .t1c file", Reader) as reader:
        if verify:
            reader.expect_checksums()
        version = _version_of(reader, path)
        _check_version(path, version, later_too=unknown == "keep")
        reader.keep = version if unknown == "keep" else None
        try:
            graph = reader.graph(allow_nonfinite)
        except GraphError as error:
            raise GraphError(error.problems, str(path)) from None
        if reader.problems or graph is None:
            raise T1CFormatError(reader.problems, str(path))
        return graph


def read_version(path: StrPath) -> str:
    """The format version that a ``.t1c`` file states, whether or not it can be read.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is not a .t1c file, or states none.
    """
    with opened(path, "a .t1c file", Reader) as reader:
        return _version_of(reader, path)


def count_checksums(path: StrPath) -> int | None:
    """How many checksums a ``.t1c`` file carries; None if it was written without.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is not a .t1c file, or they are damaged.
    """
    with opened(path, "a .t1c file", Reader) as reader:
        reader.expect_checksums()
        if reader.problems:
            raise T1CFormatError(reader.problems, str(path))
        return None if reader.sums is None else len(reader.sums)


def write(path: StrPath, graph: Graph) -> None:
    """Write a graph to a ``.t1c`` file.

    The file appears whole or not at all: it is written beside its place and moved there at the
    end, so that an interrupted write leaves an older file as it was.

    Args:
        path: where to.
        graph: checked once more before anything is written.

    Raises:
        GraphError: the graph is not valid (it was changed since it was made).
        WriteError: the place cannot be written to, or the disk is full; it is an OSError too.

    Example:
        >>> ir.write("model.t1c", graph)  # doctest: +SKIP
    """
    if not isinstance(graph, Graph):
        raise NodeError(
            Problem(
                f"write(path, graph) was given {show(graph)}",
                "a Graph",
                "Mind the order: the path comes first.",
            )
        )
    graph.check()
    with writing_hdf5(path, bytes_of(graph)) as file:
        write_file(file, graph, needed_version(graph))


def _is_nir(reader: Reader) -> bool:
    # By the links' names alone: looking behind a link would follow it.
    names = set(reader.names(reader.file))
    return "node" in names and "graph" not in names


def _version_of(reader: Reader, path: StrPath) -> str:
    if _is_nir(reader):
        raise T1CFormatError(
            Problem("a NIR file", "a .t1c file", "Read it with t1c.nir.read.", where=str(path))
        )
    version = reader.entry(reader.file, "version", "/version")
    if not isinstance(version, str):
        raise T1CFormatError(
            Problem(
                "no version is stated" if version is None else f"the version is {show(version)}",
                "text at /version",
                "Is it a .t1c file?",
                where=str(path),
            )
        )
    return version


def _check_version(path: StrPath, version: str, later_too: bool) -> None:
    try:
        if not version:
            raise ValueError(version)
        later = numbers(version) > numbers(FORMAT_VERSION)
    except ValueError:
        raise T1CFormatError(
            Problem(f"version {show(version)}", "numbers such as '0.0.1'", where=str(path))
        ) from None
    if later and not later_too:
        raise VersionError(
            Problem(
                f"format version {version}",
                f"at most {FORMAT_VERSION}, the latest that this t1c reads",
                "Install a later t1c; with unknown='keep' what is new in it is carried along.",
                where=str(path),
            )
        )
