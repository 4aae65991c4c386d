"""Files made to hurt whoever reads them: one function for each trick, and a fuzzer.

``TRICKS`` holds them by name. Each makes a file of about the size that it is asked for, so that
what a file costs can be set against what it weighs. ``fuzz`` changes sound files where it matters.
"""

from . import datasets, groups, headers, networks, texts
from .trick import TRICKS, Trick

__all__ = ["TRICKS", "Trick", "datasets", "groups", "headers", "networks", "texts"]
