"""Triton's interpreter, which remaps its language for each kernel, and not for each call in one.

It looks through hundreds of names whenever a kernel's function calls another, and finds them
remapped already: that is most of the time of a launch.
"""

import functools
import inspect
from types import FunctionType

import triton.language as tl
from triton.runtime import interpreter


class _Launch:
    """What a launch has remapped; it is put back when the launch has ended."""

    def __init__(self):
        self.languages, self.scopes = set(), []

    def restore(self):
        while self.scopes:
            self.scopes.pop().restore()


@functools.cache
def _languages(function: FunctionType) -> frozenset[str]:
    """The modules of the language that a function sees, which are those that are remapped."""
    seen = filter(inspect.ismodule, function.__globals__.values())
    return frozenset(m.__name__ for m in seen if m is tl or m is tl.core)


def remap_once():
    """Have a launch remap each module of the language once."""
    remap, call = interpreter._patch_lang, interpreter.GridExecutor.__call__
    launches: list[_Launch] = []

    def remapped(function):
        languages, launch = _languages(function), launches[-1]
        if languages not in launch.languages:
            launch.languages.add(languages)
            launch.scopes.append(remap(function))
        return launch

    def launched(self, *args, **kwargs):
        launches.append(_Launch())
        try:
            return call(self, *args, **kwargs)
        finally:
            launches.pop().restore()

    if remap.__module__ == interpreter.__name__:
        interpreter._patch_lang = remapped
        interpreter.GridExecutor.__call__ = launched
