"""The frameworks that write and read NIR, one file each, declared once for both ways.

All of it was read in their source at the versions named. What their exporters mean was checked by
running a network in each and its export here (``tests/test_nir_dialects.py``); what their importers
do by running there what was written here (``tests/test_nir_readers.py``); see ``docs/nir.md``.
"""

from __future__ import annotations

from .dialect import Dialect, Habits, Neurons, Reader
from .lava import LAVA
from .norse import NORSE
from .rockpool import ROCKPOOL
from .sinabs import SINABS
from .snntorch import SNNTORCH
from .spikingjelly import SPIKINGJELLY
from .spyx import SPYX

DIALECTS: dict[str, Dialect] = {
    d.name: d for d in (SNNTORCH, NORSE, SINABS, SPIKINGJELLY, ROCKPOOL, LAVA, SPYX)
}
"""By name."""

__all__ = ["DIALECTS", "Dialect", "Habits", "Neurons", "Reader"]
