"""Functions made of generated source: compiled once, and kept on disk for the next process.

What is compiled is the text that was generated here; what is kept is machine code, for this
processor and of this version of all that writes and compiles it, behind a digest of itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from t1c import __version__
from t1c.ir.atomic import make_folder, replacing

from ..crossing import cache_file
from .loop import LEAVES, Loop

_lock = threading.Lock()
_made: set[str] = set()
_asked: dict[str, int] = {}


@functools.lru_cache(maxsize=1024)
def kernel(loop: Loop, kind: str) -> Callable[[int, int, int], None]:
    """The function of a loop for numbers of a NumPy type, compiled now; see ``llvm_source.source``.

    It is called without Python's lock.
    """
    word = ctypes.c_int64
    call = ctypes.CFUNCTYPE(None, word, word, word)(_address(_name(loop, kind), loop, kind))
    found: Callable[[int, int, int], None] = call
    return found


def address(loop: Loop, kind: str) -> int:
    """Where the function of a loop is, for who calls it from compiled code."""
    found = ctypes.cast(cast(Any, kernel(loop, kind)), ctypes.c_void_p).value
    assert found is not None
    return found


def at_hand(loop: Loop, kind: str) -> bool:
    """Whether the function of a loop was made before, by this process or by another."""
    name = _name(loop, kind)
    return name in _made or _path(name).exists()


def asked(loop: Loop, results: int) -> int:
    """How many results this process has asked of a loop that is not made, with these."""
    text = _said(loop)
    _asked[text] = _asked.get(text, 0) + results
    return _asked[text]


@functools.cache
def vectors(kind: str) -> int:
    """Where the compiled function is that works any operation over vectors of a NumPy type.

    It is a function of C: see ``vector_source.source`` for what it takes, addresses for vectors.
    """
    return _address(f"vectors_{_digest(kind)}", None, kind)


@functools.lru_cache(maxsize=1024)
def _said(loop: Loop) -> str:
    """What tells a loop from others: all but its numbers, and gradients that it does not take."""
    entries = (
        (e.op, e.operands, e.detail if e.op in LEAVES and e.op != "number" else None)
        for e in loop.entries
    )
    rest = (loop.writes, loop.carried, loop.sums, loop.backwards, loop.over)
    return repr((*entries, *rest))


@functools.lru_cache(maxsize=1024)
def _name(loop: Loop, kind: str) -> str:
    return f"loop_{_digest(kind + _said(loop))}"


def _digest(text: str) -> str:
    return hashlib.sha256(f"{_maker()}\n{text}".encode()).hexdigest()[:32]


@functools.cache
def _maker() -> str:
    """Who writes and compiles, and for which processor: machine code of others is not ours."""
    import llvmlite

    from .compiler import processor

    written = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        written.update(path.read_bytes())
    return " ".join([__version__, written.hexdigest(), llvmlite.__version__, *processor()])


def _address(name: str, loop: Loop | None, kind: str) -> int:
    """Where a function is: of a loop, or of vectors; loaded if it is kept, else compiled."""
    from . import compiler, llvm_source, vector_source

    with _lock:
        code = _kept(_path(name))
        if code is None:
            text = (
                vector_source.source(kind, name)
                if loop is None
                else llvm_source.source(loop, kind, name)
            )
            code = compiler.machine_code(text)
            _keep(_path(name), code)
        _made.add(name)
        return compiler.loaded(code, name)


def _path(name: str) -> Path:
    return cache_file().parent / "loops" / f"{name}.o"


def _kept(path: Path) -> bytes | None:
    """The machine code in a file, if it is there, whole."""
    with contextlib.suppress(OSError):
        digest, code = (data := path.read_bytes())[:32], data[32:]
        if hashlib.sha256(code).digest() == digest:
            return code
    return None


def _keep(path: Path, code: bytes) -> None:
    """Write machine code to a file; where there is no place, each process compiles it anew."""
    try:
        make_folder(path.parent)
        with replacing(path) as temporary:
            temporary.write_bytes(hashlib.sha256(code).digest() + code)
    except OSError as cause:
        from ..on_disk import not_kept

        not_kept(cause)
