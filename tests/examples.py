"""How many examples a random test draws: all of them in a whole run, else two in five.

They are drawn anew in each run: many short ones see as much as a long one. A test that counts what
it drew keeps to a number of its own.
"""

import math
import os
from typing import Any

from hypothesis import settings

WHOLE = bool(os.environ.get("T1C_SLOW"))


def drawn(count: int) -> int:
    """How many of ``count`` examples this run draws."""
    return count if WHOLE else math.ceil(count * 2 / 5)


def examples(count: int, **more: Any) -> settings:
    """The settings of a test that draws ``count`` examples in a whole run."""
    return settings(max_examples=drawn(count), **more)
