"""Which line of the model is running, and by which calls it came to run."""

from __future__ import annotations

import os
import sys
from types import FrameType

import torch

from ..frameworks import FRAMEWORKS
from .record import Site

_BRIDGE = os.path.dirname(os.path.dirname(__file__))
_TORCH = os.path.dirname(torch.__file__)


class Whereabouts:
    """Tells places within the calls that lie between a frame and what runs now.

    Args:
        base: the frame that called the model; what lies outside of it is not the model's.
    """

    def __init__(self, base: FrameType) -> None:
        self._base = base
        self._foreign = tuple(folder + os.sep for folder in (_TORCH, *_frameworks()))

    def here(self) -> tuple[Site, str]:
        """The site, and ``file:line`` of the innermost frame of the model's own source.

        A model of nothing but torch's and the frameworks' modules has no such line: the innermost
        one of a framework stands for it, if there is one.
        """
        site: list[tuple[object, int]] = []
        place = inner = ""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame is not self._base:
            file = frame.f_code.co_filename
            if not file.startswith((_BRIDGE, "<frozen")):
                site.append((frame.f_code, frame.f_lasti))
                if not place and not file.startswith(self._foreign):
                    place = f"{file}:{frame.f_lineno}"
                if not inner and not file.startswith(_TORCH):
                    inner = f"{file}:{frame.f_lineno}"
            frame = frame.f_back
        return tuple(reversed(site)), place or inner


def _frameworks() -> list[str]:
    loaded = (sys.modules.get(name) for name in FRAMEWORKS)
    files = (getattr(module, "__file__", None) for module in loaded)
    return [os.path.dirname(file) for file in files if file]
