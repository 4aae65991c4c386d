"""Numba's compiler at work untraced: measuring coverage makes it take half as long again.

Kernels are compiled once more for each type and option. What builds the instructions of one, which
is code of this package, is traced at the first of these times.
"""

import sys
import threading
from pathlib import Path
from types import CodeType

from numba.core.dispatcher import _FunctionCompiler  # type: ignore[attr-defined]

import t1c

SOURCE = str(Path(t1c.__file__).parent)

_compiled: set[tuple[str, int]] = set()
_tracing = threading.local()


def trace_once():
    """Trace the compiler at each function's first time only, while coverage is measured."""
    compile_function = _FunctionCompiler.compile

    def compile_untraced(self, args, return_type):
        now = sys.gettrace()
        trace = now or getattr(_tracing, "suspended", None)
        if trace is None:
            return compile_function(self, args, return_type)
        before = getattr(_tracing, "suspended", None)
        _tracing.suspended = trace
        # Set and reset in one frame: coverage counts the frames that it enters and leaves.
        sys.settrace(trace if _is_new(self.py_func.__code__) else None)
        try:
            return compile_function(self, args, return_type)
        finally:
            sys.settrace(now)
            _tracing.suspended = before

    _FunctionCompiler.compile = compile_untraced


def _is_new(code: CodeType) -> bool:
    place = code.co_filename, code.co_firstlineno
    if place in _compiled or not code.co_filename.startswith(SOURCE):
        return False
    _compiled.add(place)
    return True
