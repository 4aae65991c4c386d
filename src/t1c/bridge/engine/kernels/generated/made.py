"""Functions made of generated source: compiled once, and kept on disk for the next process.

What is executed is the text that was generated here, never what a file holds: the file beside it is
there because Numba keeps machine code next to the file of its source.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from t1c import __version__
from t1c.ir.atomic import make_folder, replacing

from ..crossing import cache_file
from . import vector_source
from .loop import Loop
from .numba_source import source

HOW: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
"""How loops are compiled: each operation by itself, as it is written."""

_made: set[str] = set()
_asked: dict[str, int] = {}
_alive: list[Any] = []
"""Functions whose addresses were given away."""


@functools.lru_cache(maxsize=1024)
def kernel(loop: Loop) -> Callable[..., None]:
    """The function of a loop, which is compiled when it is called; see ``numba_source.source``."""
    return _compiled(source(loop))


def at_hand(loop: Loop) -> bool:
    """Whether the function of a loop was made before, by this process or by another."""
    text = source(loop)
    return text in _made or _path(text).exists()


def asked(loop: Loop, results: int) -> int:
    """How many results this process has asked of a loop that is not made, with these."""
    text = source(loop)
    _asked[text] = _asked.get(text, 0) + results
    return _asked[text]


@functools.cache
def vectors(kind: str) -> int:
    """Where the compiled function is that works any operation over vectors of a NumPy type.

    It is a function of C: see ``vector_source.source`` for what it takes, addresses for vectors.
    """
    import numba

    from ..on_disk import kept_for_c

    text = vector_source.source(kind)
    function, word = defined(text), numba.int64
    vector = numba.types.CPointer(getattr(numba, kind))  # type: ignore[no-untyped-call]
    how = numba.void(word, word, *[vector] * 4)
    if _written(_path(text), text):
        _alive.append(kept_for_c(how, function, **HOW))
    else:
        _alive.append(numba.cfunc(how, **HOW)(function))
    return int(_alive[-1].address)


def defined(text: str) -> Callable[..., None]:
    """The function that a source defines, in plain Python."""
    path = _path(text)
    # What is kept on disk goes by the module, which must be there when it is read.
    namespace: dict[str, Any] = {"np": np, "__name__": __name__}
    exec(compile(text, str(path), "exec"), namespace)
    function: Callable[..., None] = namespace["loop"]
    # Numba names its files after it.
    function.__name__ = function.__qualname__ = path.stem
    return function


@functools.cache
def _compiled(text: str) -> Callable[..., None]:
    # Without it everything else runs, as plain torch.
    import numba

    from ..on_disk import kept

    function = defined(text)
    _made.add(text)
    if _written(_path(text), text):
        return kept(function, **HOW)
    made: Callable[..., None] = numba.njit(**HOW)(function)
    return made


def _path(text: str) -> Path:
    digest = hashlib.sha256(f"{__version__} {__name__}\n{text}".encode()).hexdigest()
    return cache_file().parent / "loops" / f"loop_{digest[:32]}.py"


def _written(path: Path, text: str) -> bool:
    """Whether the file is there, as it should be; a file that is right is left as it is.

    Numba compiles anew for a file that is newer than what it kept.
    """
    with contextlib.suppress(OSError, ValueError):
        if path.read_text() == text:
            return True
    try:
        make_folder(path.parent)
        with replacing(path) as temporary:
            temporary.write_text(text)
    except OSError as cause:
        from ..on_disk import not_kept

        not_kept(cause)
        return False
    return True
