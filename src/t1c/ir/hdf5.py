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
field. Files are hostile until proven otherwise: links, external data, huge declarations and loops
are refused before anything is read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .errors import GraphError, NodeError, Problem, T1CError, T1CFormatError, VersionError
from .fields import Kind, TextKind, show
from .graph import Graph
from .metadata import MAX_DEPTH, Metadata
from .node import Node, list_primitives, str_to_node, unknown_primitive

FORMAT_VERSION = "0.1.0"
"""The latest format that this package reads and writes."""
BASE_VERSION = "0.0.1"
"""The format of the first implementations, still written wherever it says everything."""

StrPath = str | os.PathLike[str]

# Notes for hardware that other writers keep beside the fields. They change no result, so they are
# carried in metadata['talon'] and written back where they were.
NODE_NOTES = (
    "accum_t", "bias_t", "core_id", "hardware_hints", "precision", "result_t", "reuse_factor",
    "weight_t",
)  # fmt: skip
GRAPH_NOTES = ("cyclic_config", "partition_metadata", "quantization_config", "target_hardware")
NOTES_KEY = "talon"

# Deflate cannot do better than 1032:1; a dataset that claims more is not data.
MOST_COMPRESSED = 1040


def read(path: StrPath, *, allow_nonfinite: bool = False) -> Graph:
    """Read a ``.t1c`` file.

    Args:
        path: the file.
        allow_nonfinite: accept NaN and infinite parameters.

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
    with _opened(path) as file:
        _check_version(path, _version_of(file, path))
        reader = _Reader()
        graph = reader.graph(file, allow_nonfinite)
        if reader.problems or graph is None:
            raise T1CFormatError(reader.problems, str(path))
        return graph


def read_version(path: StrPath) -> str:
    """The format version that a ``.t1c`` file states, whether or not it can be read.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is not a .t1c file, or states none.
    """
    with _opened(path) as file:
        return _version_of(file, path)


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
    target = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    try:
        with h5py.File(name, "w") as file:
            file.create_dataset("version", data=_needed_version(graph), dtype=_TEXT)
            _write_graph(file.create_group("graph"), graph)
        _settle(Path(name), target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


# Writing -------------------------------------------------------------------------------------

_TEXT = h5py.string_dtype("utf-8")


def _settle(written: Path, target: Path) -> None:
    """Flush to disk and move into place, with the mode a plain write would have given."""
    if target.exists():
        mode = stat.S_IMODE(target.stat().st_mode)
    else:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    os.chmod(written, mode)
    with open(written, "rb+") as flushed:
        os.fsync(flushed.fileno())
    os.replace(written, target)


def _needed_version(node: Node) -> str:
    """The lowest format version that has everything the node uses."""
    inner = node.nodes.values() if isinstance(node, Graph) else ()
    return max(
        [BASE_VERSION, node.since, _later_fields(node), *(_needed_version(n) for n in inner)],
        key=_numbers,
    )


def _later_fields(node: Node) -> str:
    """The version of the latest field in use, or '' if all are as old as the primitive."""
    if isinstance(node, Graph):
        return FORMAT_VERSION if node.feedback else ""
    used = [
        kind.since
        for name, kind in node.kinds.items()
        if kind.since and getattr(node, name) != type(node).defaults()[name]
    ]
    return max(used, key=_numbers, default="")


def _write_graph(group: h5py.Group, graph: Graph) -> None:
    _write_type(group, graph)
    nodes = group.create_group("nodes", track_order=True)
    for name, node in graph.nodes.items():
        inner = nodes.create_group(name, track_order=True)
        if isinstance(node, Graph):
            _write_graph(inner, node)
        else:
            _write_node(inner, node)
    _write_edges(group.create_group("edges"), graph.edges)
    if graph.feedback:
        _write_edges(group.create_group("feedback"), graph.feedback)
    if graph.allow_cycles:
        group.create_dataset("allow_cycles", data=True)
    _write_notes(group, graph.metadata, GRAPH_NOTES)


def _write_node(group: h5py.Group, node: Node) -> None:
    _write_type(group, node)
    for name, value in node.values().items():
        _write_value(group, name, value)
    for field in ("input_type", "output_type"):
        declared = node.declared_input if field == "input_type" else node.declared_output
        if declared:
            types = group.create_group(field)
            for port, shape in declared.items():
                types.create_dataset(port, data=shape)
    _write_notes(group, node.metadata, NODE_NOTES)


def _write_type(group: h5py.Group, node: Node) -> None:
    later = _later_fields(node)
    name = f"{node.primitive}@{later}" if later else node.primitive
    group.create_dataset("type", data=name, dtype=_TEXT)


def _write_edges(group: h5py.Group, edges: list[tuple[str, str]]) -> None:
    for i, end in enumerate(("src", "dst")):
        names = np.array([edge[i] for edge in edges], dtype=object)
        group.create_dataset(end, data=names, dtype=_TEXT)


def _write_notes(group: h5py.Group, metadata: Metadata, notes: tuple[str, ...]) -> None:
    metadata = dict(metadata)
    kept = metadata.get(NOTES_KEY)
    if isinstance(kept, dict) and kept and all(name in notes for name in kept):
        del metadata[NOTES_KEY]
        for name, value in kept.items():
            _write_value(group, name, value)
    if metadata:
        _write_value(group, "metadata", metadata)


def _write_value(group: h5py.Group, name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, dict):
        inner = group.create_group(name, track_order=True)
        for key, entry in value.items():
            _write_value(inner, key, entry)
    elif isinstance(value, str):
        group.create_dataset(name, data=value, dtype=_TEXT)
    elif isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        group.create_dataset(name, data=np.array(value, dtype=object), dtype=_TEXT)
    elif isinstance(value, tuple):
        group.create_dataset(name, data=np.array(value, dtype=np.int64))
    else:
        group.create_dataset(name, data=np.asarray(value))


# Reading -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: StrPath) -> Iterator[h5py.File]:
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r}")
    if not os.path.isfile(path) or not h5py.is_hdf5(path):
        raise T1CFormatError(
            Problem(
                "not an HDF5 file, or a damaged one",
                "a .t1c file",
                "Check that it arrived whole.",
                where=str(path),
            )
        )
    try:
        with h5py.File(path, "r") as file:
            yield file
    except T1CError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as cause:
        raise T1CFormatError(
            Problem(
                f"the file is truncated or damaged ({cause})",
                remedy="Export it again, or check that it arrived whole.",
                where=str(path),
            )
        ) from cause


def _version_of(file: h5py.File, path: StrPath) -> str:
    reader = _Reader()
    version = reader.entry(file, "version", "/version")
    if not isinstance(version, str):
        remedy = "Read it with t1c.nir." if "node" in file else "Is it a .t1c file?"
        raise T1CFormatError(
            Problem(
                "no version is stated" if version is None else f"the version is {show(version)}",
                "text at /version",
                remedy,
                where=str(path),
            )
        )
    return version


def _numbers(version: str) -> tuple[int, ...]:
    if not version:
        return ()
    return tuple(int(part) for part in version.split("."))


def _check_version(path: StrPath, version: str) -> None:
    try:
        later = _numbers(version) > _numbers(FORMAT_VERSION)
    except ValueError:
        raise T1CFormatError(
            Problem(f"version {version!r}", "numbers such as '0.0.1'", where=str(path))
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


class _Reader:
    """Walks a file once, collecting what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.seen: set[Any] = set()

    def graph(self, file: h5py.File, allow_nonfinite: bool) -> Graph | None:
        group = self.entry(file, "graph", "/graph")
        if not isinstance(group, h5py.Group):
            self.problem("/graph", "there is no graph", "a group")
            return None
        name = self.entry(group, "type", "graph, field 'type'")
        if not isinstance(name, str) or name.partition("@")[0] != "Graph":
            self.problem("graph", f"its type is {show(name)}", "'Graph'")
            return None
        return self._graph(group, name, "", allow_nonfinite)

    def problem(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        self.problems.append(Problem(found, expected, remedy, where))

    # Nodes

    def _graph(
        self, group: h5py.Group, type_name: str, where: str, allow_nonfinite: bool
    ) -> Graph | None:
        before = len(self.problems)
        place = where or "graph"
        self._supported(type_name, place)
        allowed = {"type", "nodes", "edges", "feedback", "metadata", "allow_cycles"}
        self._refuse_others(group, allowed | set(GRAPH_NOTES), place)
        nodes: dict[str, Node] = {}
        inner = self.entry(group, "nodes", f"{place}, nodes")
        if isinstance(inner, h5py.Group):
            for name in self._names(inner):
                spot = f"{where} > node {name!r}" if where else f"node {name!r}"
                node = self._node(inner, name, spot, allow_nonfinite)
                if node is not None:
                    nodes[name] = node
        else:
            self.problem(place, "there are no nodes", "a group 'nodes'")
        edges = self._edges(group, "edges", place)
        feedback = self._edges(group, "feedback", place) if "feedback" in group else []
        cycles = self.entry(group, "allow_cycles", place)
        if isinstance(cycles, str):
            cycles = {"True": True, "False": False}.get(cycles, cycles)
        if cycles is not None and not isinstance(cycles, bool | np.bool_):
            self.problem(place, f"allow_cycles is {show(cycles)}", "True or False")
        metadata = self._metadata(group, GRAPH_NOTES, place)
        if len(self.problems) > before:
            return None
        try:
            return Graph(
                nodes,
                edges,
                metadata,
                bool(cycles),
                feedback=feedback,
                allow_nonfinite=allow_nonfinite,
            )
        except GraphError as error:
            if not where:
                raise
            self.problems += [p.at(where) for p in error.problems]
            return None

    def _node(self, nodes: h5py.Group, name: str, where: str, allow_nonfinite: bool) -> Node | None:
        group = self.entry(nodes, name, where)
        if not isinstance(group, h5py.Group):
            self.problem(where, "not a group", "a group with the node's type and fields")
            return None
        type_name = self.entry(group, "type", f"{where}, field 'type'")
        if not isinstance(type_name, str):
            inner = [k for k in self._names(group) if isinstance(group.get(k), h5py.Group)]
            self.problem(
                where,
                f"it has no type but holds the group {inner[0]!r}: a node was named "
                f"'{name}/{inner[0]}', and a name must not hold a slash"
                if inner
                else "it has no type",
                "the name of a primitive",
                "Rename the node and export again.",
            )
            return None
        primitive = type_name.partition("@")[0]
        if primitive == "Graph":
            return self._graph(group, type_name, where, allow_nonfinite)
        if primitive not in list_primitives():
            self.problems.append(unknown_primitive(type_name).at(where))
            return None
        cls = str_to_node(primitive)
        if not self._supported(type_name, where):
            return None
        return self._fields(group, cls, where)

    def _fields(self, group: h5py.Group, cls: type[Node], where: str) -> Node | None:
        before = len(self.problems)
        spot = f"{where} ({cls.__name__})"
        values: dict[str, Any] = {}
        for name, kind in cls.kinds.items():
            if name not in group:
                if name in cls.required():
                    self.problem(f"{spot}, field {name!r}", "it is missing", kind.describe())
                continue
            raw = self.entry(group, name, f"{spot}, field {name!r}")
            if raw is None:
                continue
            try:
                values[name] = _meant(kind, raw)
            except NodeError as error:
                place = f"{spot}, field {name!r}"
                self.problems += [p.at(place) for p in error.problems]
        for name in ("input_type", "output_type"):
            types = self.entry(group, name, f"{spot}, field {name!r}")
            if isinstance(types, h5py.Group):
                values[name] = {k: self.entry(types, k, spot) for k in self._names(types)}
        common = {"type", "metadata", "input_type", "output_type", *NODE_NOTES}
        self._refuse_others(group, common | set(cls.kinds), spot)
        values["metadata"] = self._metadata(group, NODE_NOTES, spot)
        if len(self.problems) > before:
            return None
        try:
            return cls(**values)
        except (NodeError, GraphError) as error:
            self.problems += [p.at(where) for p in error.problems]
            return None

    def _supported(self, type_name: str, where: str) -> bool:
        _, at, version = type_name.partition("@")
        try:
            if not at or _numbers(version) <= _numbers(FORMAT_VERSION):
                return True
        except ValueError:
            pass
        self.problem(
            where,
            f"type {type_name!r}",
            f"a version up to {FORMAT_VERSION}",
            "Install a later t1c.",
        )
        return False

    def _refuse_others(self, group: h5py.Group, known: set[str], where: str) -> None:
        for name in self._names(group):
            if name not in known:
                self.problem(
                    where,
                    f"unknown field {name!r}",
                    f"only {', '.join(sorted(known))}",
                    "What it means cannot be known; export without it.",
                )

    def _edges(self, group: h5py.Group, name: str, where: str) -> list[tuple[str, str]]:
        place = f"{where}, {name}"
        edges = self.entry(group, name, place)
        if not isinstance(edges, h5py.Group):
            self.problem(where, f"there are no {name}", "a group with 'src' and 'dst'")
            return []
        ends = []
        for end in ("src", "dst"):
            names = self.entry(edges, end, f"{place}/{end}")
            if isinstance(names, np.ndarray) and names.size == 0:
                names = []
            if not isinstance(names, list):
                self.problem(f"{place}/{end}", show(names), "a list of node names")
                return []
            ends.append(names)
        if len(ends[0]) != len(ends[1]):
            self.problem(
                place, f"{len(ends[0])} sources and {len(ends[1])} targets", "as many of either"
            )
        return list(zip(*ends, strict=False))

    def _metadata(self, group: h5py.Group, notes: tuple[str, ...], where: str) -> Metadata:
        metadata: Metadata = {}
        stored = self.entry(group, "metadata", f"{where}, metadata")
        if isinstance(stored, h5py.Group):
            metadata = self._dict(stored, f"{where}, metadata")
        elif stored is not None:
            self.problem(f"{where}, metadata", show(stored), "a group")
        found = {name: self._note(group, name, where) for name in notes if name in group}
        return {**metadata, NOTES_KEY: found} if found else metadata

    def _dict(self, group: h5py.Group, where: str, depth: int = 0) -> Metadata:
        if depth > MAX_DEPTH:
            self.problem(where, "nested too deeply", f"at most {MAX_DEPTH} levels")
            return {}
        return {name: self._note(group, name, where, depth) for name in self._names(group)}

    def _note(self, group: h5py.Group, name: str, where: str, depth: int = 0) -> Any:
        value = self.entry(group, name, f"{where}.{name}")
        if isinstance(value, h5py.Group):
            return self._dict(value, f"{where}.{name}", depth + 1)
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype in _LISTS:
            return value.tolist()
        return value

    # Objects of the file

    def _names(self, group: h5py.Group) -> list[str]:
        try:
            return list(group)
        except (UnicodeDecodeError, RuntimeError, OSError) as cause:
            self.problem(group.name or "", f"its names cannot be read ({cause})")
            return []

    def entry(self, group: h5py.Group, name: str, where: str) -> Any:
        """A group, or the value of a dataset: text, a list of text, a scalar or an array.

        None if there is nothing of that name, or nothing that may be read.
        """
        link = group.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
            self.problem(
                where, kind, "the data itself", "Links are refused: they can lead anywhere."
            )
            return None
        item = group[name]
        token = h5py.h5o.get_info(item.id).addr
        if token in self.seen:
            self.problem(where, "the same data linked a second time", "each group and dataset once")
            return None
        self.seen.add(token)
        if isinstance(item, h5py.Dataset):
            return self._value(item, where)
        if isinstance(item, h5py.Group):
            return item
        self.problem(where, "a named type", "a group or a dataset")
        return None

    def _value(self, data: h5py.Dataset, where: str) -> Any:
        problem = _unreadable(data)
        if problem:
            self.problem(where, *problem)
            return None
        try:
            if h5py.check_string_dtype(data.dtype) is None:
                return data[()]
            text = data.asstr()[()]
        except UnicodeDecodeError:
            self.problem(where, "text that is not UTF-8", "UTF-8")
            return None
        except (OSError, RuntimeError, ValueError, TypeError, MemoryError) as cause:
            self.problem(where, f"data that cannot be read ({cause})", "an undamaged file")
            return None
        return text if isinstance(text, str) else np.asarray(text).tolist()


_LISTS = (np.dtype(np.int64), np.dtype(np.float64), np.dtype(bool))


def _unreadable(data: h5py.Dataset) -> tuple[str, str] | None:
    """Why a dataset must not be read: (found, expected), or None if it may."""
    if data.shape is None:
        return "an empty dataset", "a value"
    if data.external or data.is_virtual:
        return "data kept in another file", "the data itself"
    text = h5py.check_string_dtype(data.dtype) is not None
    if not text and data.dtype.kind not in "biuf":
        return f"data of type {data.dtype}", "text, numbers or booleans"
    declared, stored = data.size * data.dtype.itemsize, data.id.get_storage_size()
    filtered = data.chunks is not None and data.id.get_create_plist().get_nfilters() > 0
    if declared > stored * (MOST_COMPRESSED if filtered else 1):
        return (
            f"{declared:,} bytes declared, {stored:,} stored",
            "as much data as the shape says",
        )
    return None


def _meant(kind: Kind, raw: Any) -> Any:
    """The value a field was meant to have: early writers stored NumPy scalars as text."""
    if isinstance(raw, h5py.Group):
        raise NodeError(Problem("a group", kind.describe()))
    if isinstance(raw, str) and not isinstance(kind, TextKind):
        return kind.from_text(raw)
    return kind.convert(raw)
