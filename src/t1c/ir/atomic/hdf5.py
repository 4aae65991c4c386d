"""Writing an HDF5 file that appears whole or not at all, whatever the disk says."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import h5py

from .replacing import replacing
from .steady import Steady

IN_MEMORY = 2**26
"""Files with fewer bytes of arrays are made in memory: many small objects are many small writes,
each of which takes longer through ``Steady`` than HDF5 takes for the object."""


@contextlib.contextmanager
def writing_hdf5(path: str | os.PathLike[str], size: int) -> Iterator[h5py.File]:
    """An empty HDF5 file that takes the place of ``path`` if the block ends well.

    Args:
        path: where to.
        size: the bytes of the arrays that it will hold, about.

    Raises:
        WriteError: as of ``replacing``.
    """
    with replacing(path) as temporary:
        if size < IN_MEMORY:
            with h5py.File(temporary, "w", driver="core", backing_store=False) as file:
                yield file
                file.flush()
                whole = file.id.get_file_image()
            temporary.write_bytes(whole)
        else:
            with (
                contextlib.closing(Steady(temporary)) as steady,
                h5py.File(steady, "w") as file,
            ):
                yield file
