"""Every rule by which a primitive is said in integers: importing a family enters its rules."""

from . import arithmetic, borders, layers, moves, neurons, readout
from .wire import RULES

FAMILIES = (arithmetic, borders, layers, moves, neurons, readout)

__all__ = ["FAMILIES", "RULES"]
