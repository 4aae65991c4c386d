"""A graph as a named reader will run it with the same spikes, or the reasons why it will not."""

from __future__ import annotations

from .adapted import adapted
from .borders import RESERVED
from .parameters import laid_for

__all__ = ["RESERVED", "adapted", "laid_for"]
