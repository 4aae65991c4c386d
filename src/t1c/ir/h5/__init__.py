"""HDF5 files of strangers, read from their bytes.

The HDF5 library follows whatever a file says: it walks lists that never end, and allocates what a
damaged length asks for. So it writes our files and never reads one. What reads them is here, and
has one law: *a byte of the file is paid for before it is read, and there is only one payment for
each*. No two structures of a sound file share bytes, so a sound file never runs out; and whatever
a hostile one says, all the work that it can cause is bounded by its own size.

From the bytes up: ``source`` pays them out, ``superblock`` says where the root is, ``header`` reads
what an object says of itself, ``symbol_table``, ``links``, ``btree2`` and ``fractal_heap`` find the
names in a group, ``datatype`` and ``layout`` say how data lie, ``chunks`` and ``filters`` unpack
them, ``global_heap`` holds text, and ``objects`` puts it together.
"""

from .links import Link
from .objects import Dataset, File, Group, TooMuchTextError, is_hdf5
from .source import H5Error, OverspentError

__all__ = [
    "Dataset",
    "File",
    "Group",
    "H5Error",
    "Link",
    "OverspentError",
    "TooMuchTextError",
    "is_hdf5",
]
