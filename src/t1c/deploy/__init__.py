"""A graph for machines without t1c. Nothing here imports torch until it is called."""

from .c import CReport, to_c

__all__ = ["CReport", "to_c"]
