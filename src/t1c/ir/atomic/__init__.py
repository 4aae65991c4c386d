"""Files that appear whole or not at all: ``replacing`` is how everything of t1c writes.

``target`` says what lies at a path and whether it may be written, ``temporary`` keeps the file
beside it while it is written and removes what killed writers left, ``attributes`` hands on owner,
mode and labels, ``failures`` says what kept a file from being written. HDF5 has a way of its own,
``writing_hdf5``: it must not see a disk fail.
"""

from .hdf5 import writing_hdf5
from .replacing import make_folder, replacing, write_text

__all__ = ["make_folder", "replacing", "write_text", "writing_hdf5"]
