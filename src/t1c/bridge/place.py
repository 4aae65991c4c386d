"""Which line of the model is running."""

from __future__ import annotations

import os
import sys
from types import FrameType

import torch

from .frameworks import FRAMEWORKS

_BRIDGE = os.path.dirname(__file__)
_TORCH = os.path.dirname(torch.__file__)


def here() -> str:
    """``file:line`` of the innermost frame that is neither torch's nor a framework's nor ours."""
    skipped = [_BRIDGE, _TORCH, *_frameworks()]
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<") and not any(file.startswith(f + os.sep) for f in skipped):
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return "an unknown place"


def _frameworks() -> list[str]:
    loaded = (sys.modules.get(name) for name in FRAMEWORKS)
    files = (getattr(module, "__file__", None) for module in loaded)
    return [os.path.dirname(file) for file in files if file]
