"""``.tar`` files as WebDataset writes them: neighbours whose names begin alike are one sample.

What comes behind the first dot of a name says what it is::

    0001.npy, 0001.x.npy   the input: (*shape), or a sequence (T, *shape)
    0001.x.<name>.npy      one for each Input, where the graph has several
    0001.npz               or all of it under the names that an .npz file of samples has
    0001.cls               the right class, in digits

Files of other kinds are not read. Nothing is unpacked to disk, and nothing is unpickled.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.npz import LARGE, MOST_UNPACKED, opened_npz

from ..job import Job
from ..shards import Shard
from .blocks import Block, Row, blocks_of, row_of

# The first is the mark at the end, and one of the second; typeshed knows neither.
EOF_MARK: type[Exception] = tarfile.EOFHeaderError  # type: ignore[attr-defined]
HEADER_ERROR: type[Exception] = tarfile.HeaderError


def read(shard: Shard, graph: ir.Graph, job: Job) -> Iterator[Block]:
    """The samples of an archive in blocks, read from front to back.

    Raises:
        InputError: they do not fit, or the archive is damaged.
    """
    yield from blocks_of(_rows(shard.path, graph), graph, job, shard.path)


def _rows(path: str, graph: ir.Graph) -> Iterator[Row]:
    key, fields = "", dict[str, Any]()
    # What is packed may say that it is anything; a file of zeros packs to a thousandth.
    most = max(LARGE, MOST_UNPACKED * os.path.getsize(path))
    try:
        with tarfile.open(path, "r|*", tarinfo=_Header) as archive:
            while (member := archive.next()) is not None:
                # Which files came before is not asked again, and an archive has millions.
                archive.members.clear()  # type: ignore[attr-defined]
                if not member.isfile():
                    continue
                if member.size > most:
                    said = f"{member.size:,} bytes of {member.name!r}"
                    raise InputError(Problem(said, f"at most {most:,}, for a file of this size"))
                called, kind = _parted(member.name)
                if called != key and fields:
                    yield row_of({**fields, "key": key}, graph, f"sample {key!r}")
                    fields = {}
                key = called
                content = archive.extractfile(member)
                assert content is not None  # of a file
                fields |= _fields(kind, content, member.name)
    except (tarfile.TarError, EOFError) as cause:
        raise InputError(Problem(f"damaged ({cause})", "a whole archive")) from cause
    if fields:
        yield row_of({**fields, "key": key}, graph, f"sample {key!r}")


class _Header(tarfile.TarInfo):
    """A header that must be there: an archive that ends without its mark was cut off.

    By itself ``tarfile`` takes whatever is no header for the end.
    """

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except EOF_MARK:
            raise
        except HEADER_ERROR as cause:
            raise EOFError(f"it goes on behind its end, or was cut off: {cause}") from cause


def _parted(name: str) -> tuple[str, str]:
    """The name of a sample, and what of it a file is."""
    folder, slash, file = name.rpartition("/")
    called, _, kind = file.partition(".")
    return folder + slash + called, kind


def _fields(kind: str, content: Any, name: str) -> dict[str, Any]:
    try:
        if kind == "cls":
            return {"y": int(content.read())}
        if kind == "npy" or kind.endswith(".npy"):
            array = np.load(io.BytesIO(content.read()), allow_pickle=False)
            called = kind.removesuffix("npy").removesuffix(".") or "x"
            first, _, rest = called.partition(".")
            return {f"{first}/{rest}" if rest else first: array}
        if kind == "npz":
            # In a file, which is checked before NumPy is handed it.
            with tempfile.NamedTemporaryFile(suffix=".npz") as held:
                shutil.copyfileobj(content, held)
                held.flush()
                with opened_npz(held.name) as arrays:
                    return {key: arrays[key] for key in arrays.files}
    except Exception as cause:  # zipfile, zlib and NumPy each have errors of their own
        if isinstance(cause, MemoryError | OSError | tarfile.TarError | InputError):
            raise
        raise InputError(Problem(f"damaged ({cause})", "numbers", where=name)) from cause
    return {}
