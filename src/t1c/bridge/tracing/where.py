"""Which line of the model is running, and by which calls it came to run."""

from __future__ import annotations

import os
import sys
from dis import opmap
from types import CodeType, FrameType

import torch

from ..frameworks import FRAMEWORKS
from .record import Site

_BRIDGE = os.path.dirname(os.path.dirname(__file__))
_TORCH = os.path.dirname(torch.__file__)
_EARLY_CALL = opmap.get("PRECALL")
"""Python 3.11's instruction before CALL: once the code is warm, it is the one that calls."""


class Whereabouts:
    """Tells places within the calls that lie between a frame and what runs now.

    Args:
        base: the frame that called the model; what lies outside of it is not the model's.
    """

    def __init__(self, base: FrameType) -> None:
        self._base = base
        self._calls: dict[tuple[int, int], int] = {}
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
                site.append((frame.f_code, self._call(frame.f_code, frame.f_lasti)))
                if not place and not file.startswith(self._foreign):
                    place = f"{file}:{frame.f_lineno}"
                if not inner and not file.startswith(_TORCH):
                    inner = f"{file}:{frame.f_lineno}"
            frame = frame.f_back
        return tuple(reversed(site)), place or inner

    def _call(self, code: CodeType, at: int) -> int:
        """The place of a call within its code, the same whether the code is warm or not."""
        if _EARLY_CALL is None:
            return at
        key = id(code), at
        if key not in self._calls:
            # The instruction and its one cache entry come before CALL.
            self._calls[key] = at + 4 if code.co_code[at] == _EARLY_CALL else at
        return self._calls[key]


def _frameworks() -> list[str]:
    loaded = (sys.modules.get(name) for name in FRAMEWORKS)
    files = (getattr(module, "__file__", None) for module in loaded)
    return [os.path.dirname(file) for file in files if file]
