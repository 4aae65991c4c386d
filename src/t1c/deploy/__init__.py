"""A graph for machines without t1c. Nothing here imports torch until it is called."""

from .exported import to_exported

__all__ = ["to_exported"]
