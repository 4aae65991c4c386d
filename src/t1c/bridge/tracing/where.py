"""Which line of the model is running, and by which calls it came to run."""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import replace
from dis import opmap
from types import CodeType, FrameType

import torch
from torch import nn

from t1c.ir.errors import T1CError

from ..frameworks import FRAMEWORKS
from .record import Site

_BRIDGE = os.path.dirname(os.path.dirname(__file__))
_TORCH = os.path.dirname(torch.__file__)
_PYTHON = os.path.dirname(os.__file__) + os.sep
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
        self._foreign = _foreign()

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
                if not place and not _is_foreign(file, self._foreign):
                    place = f"{file}:{frame.f_lineno}"
                if not inner and not _is_foreign(file, (_TORCH,)):
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


def home_of(model: object) -> str:
    """A model's class, and the line of its ``forward`` where that is the user's own."""
    name = type(model).__name__
    code = getattr(getattr(type(model), "forward", None), "__code__", None)
    if code is None or _is_foreign(code.co_filename, _foreign()):
        return name
    return f"{name} ({code.co_filename}:{code.co_firstlineno})"


def raised_at(error: BaseException, model: nn.Module) -> tuple[str, str]:
    """Where an error came from.

    Returns:
        The innermost line of the model's own source that it passed, with the path of the module
        that ran, or the path alone where there is no such line, as in a Sequential; and the line
        of a framework that raised it, "" if none did.
    """
    paths = {id(module): path for path, module in model.named_modules()}
    place = path = foreign = ""
    others = _foreign()
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        path = paths.get(id(frame.f_locals.get("self")), path)
        if file.startswith((_BRIDGE, _TORCH, "<frozen")):
            continue
        if _is_foreign(file, others):
            foreign = f"{file}:{line}"
        else:
            place, foreign = f"{file}:{line}", ""
    inside = f"module {path!r}" if path else ""
    if place:
        return (f"{place}, in {inside}" if inside else place), foreign
    return inside or home_of(model), foreign


def placed(error: T1CError, model: object) -> T1CError:
    """An error whose problems all say where they are: at least in which model."""
    home = home_of(model)
    problems = []
    for problem in error.problems:
        where = problem.where.removesuffix("the model").removesuffix(" > ") or home
        problems.append(problem if where == problem.where else replace(problem, where=where))
    return type(error)(problems, error.heading) if problems != list(error.problems) else error


def _foreign() -> tuple[str, ...]:
    """The folders of what is not the user's own source, but for Python's."""
    return tuple(folder + os.sep for folder in (_TORCH, _BRIDGE, *_frameworks()))


def _is_foreign(file: str, folders: tuple[str, ...]) -> bool:
    """Whether a file lies in one of the folders, or is of Python's own library."""
    return file.startswith(folders) or (file.startswith(_PYTHON) and "-packages" not in file)


def _frameworks() -> list[str]:
    loaded = (sys.modules.get(name) for name in FRAMEWORKS)
    files = (getattr(module, "__file__", None) for module in loaded)
    return [os.path.dirname(file) for file in files if file]
