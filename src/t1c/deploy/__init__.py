"""A graph for machines without t1c. Nothing here imports torch until it is called."""

from .c import CReport, to_c
from .exported import to_exported

__all__ = ["CReport", "to_c", "to_exported"]
