"""The modes in which torch tells of every operation, and how to be told of none for a while.

Only to let an operation through, a mode calls Python, and most operations are inside of a module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import overrides
from torch.overrides import TorchFunctionMode
from torch.utils import _python_dispatch as dispatching
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Modes:
    """Two modes that belong together.

    Attributes:
        above: is told of what Python calls.
        below: is told of what is worked, whoever called it.
    """

    above: TorchFunctionMode
    below: TorchDispatchMode

    def aside(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run something without them; those of others stay, and so do these behind others'."""
        above = overrides._get_current_function_mode() is self.above
        below = dispatching._get_current_dispatch_mode() is self.below
        if above:
            overrides._pop_mode()
        if below:
            dispatching._pop_mode()
        try:
            return run(*args, **kwargs)
        finally:
            if below:
                dispatching._push_mode(self.below)
            if above:
                overrides._push_mode(self.above)
