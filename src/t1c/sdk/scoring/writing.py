"""Results of one shard, written block after block: memory holds a block, whatever a shard has."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from t1c.ir.fields import Array

from ..made_of import METADATA
from .job import Format

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

SPOOL = 2**22
"""Bytes of one array that are held in memory; more are kept in a file."""


class Writer(Protocol):
    """Writes a file of results. As a context it lets go of what it holds, whatever happens."""

    def add(self, arrays: dict[str, Array], first: int) -> None:
        """The results of some samples: arrays by name, the same names each time.

        Args:
            arrays: (n, ...) each.
            first: the number of the first of them in its shard.
        """

    def finish(self, note: dict[str, Any]) -> None:
        """Complete the file, with a note of what it was made of."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def writer_of(format: Format, path: Path) -> Writer:
    """What writes a file of a format."""
    return ParquetWriter(path) if format == "parquet" else NpzWriter(path)


class NpzWriter:
    """An ``.npz`` file, as ``np.savez`` writes them; each array waits in a file of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = contextlib.ExitStack()
        self._spools: dict[str, tuple[IO[bytes], np.dtype[Any], tuple[int, ...]]] = {}
        self._texts: dict[str, list[Array]] = {}
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def add(self, arrays: dict[str, Array], first: int) -> None:
        for name, array in arrays.items():
            if array.dtype.kind == "U":  # as wide as the longest of all blocks
                self._texts.setdefault(name, []).append(array)
                continue
            if name not in self._spools:
                spool = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115 - it is closed at the end
                self._open.callback(spool.close)
                self._spools[name] = spool, array.dtype, array.shape[1:]
            file, dtype, _ = self._spools[name]
            file.write(np.ascontiguousarray(array, dtype).tobytes())
        self._count += len(next(iter(arrays.values())))

    def finish(self, note: dict[str, Any]) -> None:
        with zipfile.ZipFile(self._path, "w") as archive:
            for name, texts in self._texts.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.concatenate(texts), allow_pickle=False)
            for name, (spool, dtype, shape) in self._spools.items():
                about = {
                    "descr": np.lib.format.dtype_to_descr(dtype),
                    "fortran_order": False,
                    "shape": (self._count, *shape),
                }
                # A date of its own would make two files of the same results two.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    np.lib.format.write_array_header_1_0(file, about)
                    spool.seek(0)
                    shutil.copyfileobj(spool, file)
            archive.comment = json.dumps(note).encode()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()


class ParquetWriter:
    """A ``.parquet`` file: a row for each sample, behind its number in the shard, ``index``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: parquet.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def add(self, arrays: dict[str, Array], first: int) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        count = len(next(iter(arrays.values())))
        columns = {"index": np.arange(first, first + count), **arrays}
        table = pa.table({name: _column(array) for name, array in columns.items()})
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def finish(self, note: dict[str, Any]) -> None:
        assert self._writer is not None  # a shard has a sample at least
        self._writer.add_key_value_metadata({METADATA.decode(): json.dumps(note)})
        self._writer.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self._writer is not None:
            self._writer.close()


def _column(array: Array) -> pa.Array:
    """Numbers as they are; a list of fixed size for each sample, or a tensor of fixed shape."""
    import pyarrow as pa

    if array.ndim == 1:
        return pa.array(array)
    flat = pa.array(array.reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(array.shape[1:])))
    if array.ndim == 2:
        return lists
    kind = pa.fixed_shape_tensor(flat.type, array.shape[1:])
    return pa.ExtensionArray.from_storage(kind, lists)
