"""The graphs in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from t1c import ir
from t1c.ir.table import parameter_count
from t1c.nir import read_graph
from t1c.sdk import Part, Report, Table, format_bytes, format_number

SUFFIXES = (".t1c", ".nir")


@dataclass(frozen=True)
class Listed:
    """A file, and what is in it.

    Attributes:
        file: its path, from the folder on.
        file_bytes: its size on disk.
        nodes: how many.
        parameters: how many numbers its arrays hold.
        input_shapes: of the Inputs, in order.
        output_shapes: of the Outputs.
        problem: why it cannot be read, in a line; the rest is 0 then.
    """

    file: str
    file_bytes: int
    nodes: int = 0
    parameters: int = 0
    input_shapes: tuple[tuple[int, ...], ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    problem: str = ""


@dataclass(frozen=True, repr=False)
class GraphList(Report):
    """The graphs of a folder.

    Attributes:
        folder: as it was given.
        graphs: one for each file, in the order of names.
    """

    folder: str
    graphs: tuple[Listed, ...]

    def parts(self) -> list[Part]:
        """A table with a row for each file."""
        if not self.graphs:
            return [f"{self.folder}: no .t1c and no .nir file"]
        rows = []
        for one in self.graphs:
            cells = [format_number(one.nodes), format_number(one.parameters)]
            shapes = [" ".join(map(str, s)) for s in (one.input_shapes, one.output_shapes)]
            seen = ["", "", one.problem, ""] if one.problem else [*cells, *shapes]
            rows.append((one.file, format_bytes(one.file_bytes), *seen))
        columns = ("file", "size", "nodes", "parameters", "input", "output")
        return [Table(columns, tuple(rows), right=("size", "nodes", "parameters"))]


def list_graphs(
    folder: str | os.PathLike[str] = ".", *, dt: float | None = None, recursive: bool = False
) -> GraphList:
    """What graphs lie in a folder: its ``.t1c`` and ``.nir`` files.

    A file that cannot be read is listed with the reason.

    Args:
        folder: where to look.
        dt: seconds in one step, for ``.nir`` files that do not say it.
        recursive: look into the folders in it too.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise NotADirectoryError(f"there is no folder {os.fspath(folder)!r}")
    found = root.rglob("*") if recursive else root.iterdir()
    files = sorted(path for path in found if path.suffix in SUFFIXES and path.is_file())
    return GraphList(os.fspath(folder), tuple(_listed(path, root, dt) for path in files))


def _listed(path: Path, root: Path, dt: float | None) -> Listed:
    name, size = str(path.relative_to(root)), path.stat().st_size
    try:
        graph = read_graph(path, dt, allow_nonfinite=True)
    except (ir.T1CError, OSError) as error:
        reason = str(error).strip().removeprefix(f"{path}: ").splitlines()
        return Listed(name, size, problem=reason[0] if reason else type(error).__name__)
    return Listed(
        name,
        size,
        len(graph.flat().nodes),
        parameter_count(graph),
        tuple(tuple(node.shape) for node in graph.inputs().values()),
        tuple(tuple(node.shape) for node in graph.outputs().values()),
    )
