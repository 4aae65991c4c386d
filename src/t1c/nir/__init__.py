"""NIR files and graphs, in and out: ``t1c.nir.read`` and ``t1c.nir.write``.

NIR describes spiking networks in continuous time; a graph of ``t1c.ir`` counts steps. The change
happens once, here, by conventions that are stated, and recorded in the graph. Files need h5py
only; the ``nir`` package is needed for graphs in memory alone. Nothing here needs torch.
"""

from .api import from_nir, loss_report, read, to_nir, write
from .conventions import ConventionError, Conventions, ResetWarning
from .dialects import DIALECTS, Dialect
from .either import GraphSource, counterpart_dt, is_nir, read_graph, suffix_of
from .file_read import read_version
from .losses import Change, Loss, LossReport
from .repairs import REPAIRS, Repair
from .timeless import Timeless, read_timeless

__all__ = [
    "DIALECTS",
    "REPAIRS",
    "Change",
    "ConventionError",
    "Conventions",
    "Dialect",
    "GraphSource",
    "Loss",
    "LossReport",
    "Repair",
    "ResetWarning",
    "Timeless",
    "counterpart_dt",
    "from_nir",
    "is_nir",
    "loss_report",
    "read",
    "read_graph",
    "read_timeless",
    "read_version",
    "suffix_of",
    "to_nir",
    "write",
]


def __dir__() -> list[str]:
    """The interface, without the files that it is made of."""
    return __all__
