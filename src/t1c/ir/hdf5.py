"""The ``.t1c`` file: HDF5, one group per node, one dataset per field.

Layout::

    /version                     text, the lowest format version that can read the file
    /graph/type                  'Graph'
    /graph/nodes/<name>/type     the primitive, and one dataset for each field
    /graph/edges/src, .../dst    text arrays of equal length
    /graph/metadata/...          nested groups
    /graph/allow_cycles          True, where the graph may hold cycles

Arrays keep their dtype; integers, floats and booleans are scalars, tuples integer arrays, None is
absent. A field that came with a later version and is in use changes the type name to
``<primitive>@<version>``: readers before that version refuse the name, where they would ignore the
field. Files are hostile until proven otherwise: they are read from their bytes, by code whose work
is bounded by their size (``h5``); links, external data, huge declarations and loops are refused.
"""

from __future__ import annotations

import h5py

from .atomic import replacing
from .copy_on_write import LEAST, LINE
from .errors import GraphError, NodeError, Problem, T1CFormatError, VersionError
from .fields import show
from .graph import Graph
from .hdf5_guard import StrPath, opened
from .hdf5_layout import FORMAT_VERSION, TEXT, needed_version, numbers
from .hdf5_read import Reader
from .hdf5_write import write_graph


def read(path: StrPath, *, allow_nonfinite: bool = False, mmap: bool = False) -> Graph:
    """Read a ``.t1c`` file.

    Args:
        path: the file.
        allow_nonfinite: accept NaN and infinite parameters.
        mmap: leave large arrays in the file and map them: they cannot be written to, and take no
            memory but the pages that are looked at. Only for a file that nobody writes to in its
            place as long as the graph, or what was imported from it, is used; ``write`` never
            does, it puts a new file there. What is packed or in pieces is read all the same.

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
    with opened(path, "a .t1c file", Reader) as reader:
        _check_version(path, _version_of(reader, path))
        reader.lay_out(mmap)
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


def write(path: StrPath, graph: Graph) -> None:
    """Write a graph to a ``.t1c`` file.

    The file appears whole or not at all: it is written beside its place and moved there at the
    end, so that an interrupted write leaves an older file as it was.

    Args:
        path: where to.
        graph: checked once more before anything is written.

    Raises:
        GraphError: the graph is not valid (it was changed since it was made).
        OSError: the place cannot be written to.

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
    with replacing(path) as temporary, _new(temporary) as file:
        file.create_dataset("version", data=needed_version(graph), dtype=TEXT)
        write_graph(file.create_group("graph"), graph)


def _new(path: StrPath) -> h5py.File:
    """A file in which large arrays begin where memory would have them begin, so that they map."""
    return h5py.File(path, "w", alignment_threshold=LEAST, alignment_interval=LINE)


def _is_nir(reader: Reader) -> bool:
    # By the links' names alone: looking behind a link would follow it.
    names = set(reader.names(reader.root))
    return "node" in names and "graph" not in names


def _version_of(reader: Reader, path: StrPath) -> str:
    if _is_nir(reader):
        raise T1CFormatError(
            Problem("a NIR file", "a .t1c file", "Read it with t1c.nir.read.", where=str(path))
        )
    version = reader.entry(reader.root, "version", "/version")
    if version is None and reader.problems:  # it is stated, and cannot be read
        raise T1CFormatError(reader.problems, str(path))
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


def _check_version(path: StrPath, version: str) -> None:
    try:
        if not version:
            raise ValueError(version)
        later = numbers(version) > numbers(FORMAT_VERSION)
    except ValueError:
        raise T1CFormatError(
            Problem(f"version {show(version)}", "numbers such as '0.0.1'", where=str(path))
        ) from None
    if later:
        raise VersionError(
            Problem(
                f"format version {version}",
                f"at most {FORMAT_VERSION}, the latest that this t1c reads",
                "Install a later t1c.",
                where=str(path),
            )
        )
