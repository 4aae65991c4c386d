"""Generated loops on a GPU."""

from __future__ import annotations

import functools
import hashlib
import linecache
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton_launch import BLOCK, OPTIONS
from ..triton_scan import narrowed, over, rounded, widened
from .loop import Loop
from .triton_functions import root, to_even
from .triton_source import source


def launch(loop: Loop, steps: int, size: int, arrays: Sequence[Tensor]) -> None:
    """Work all steps; ``arrays`` as ``triton_source.source`` says."""
    if not steps or not size:
        return
    period = max(1, arrays[2].shape[1])
    # Triton launches on the current device, which need not be that of the tensors.
    with torch.cuda.device_of(arrays[3]):
        grid = (triton.cdiv(size, BLOCK),)
        kernel(loop)[grid](*arrays, steps, size, period, BLOCK=BLOCK, **OPTIONS)


@functools.lru_cache(maxsize=1024)
def kernel(loop: Loop) -> Any:
    """The function of a loop, which Triton compiles when it is launched."""
    return _kernel(source(loop))


@functools.cache
def _kernel(text: str) -> Any:
    name = f"loop_{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    path = f"<{name}>"
    # Where Triton looks for the text of a function that lies in no file.
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {
        "__name__": __name__, "tl": tl, "widened": widened, "rounded": rounded,
        "narrowed": narrowed, "over": over, "root": root, "to_even": to_even,
    }  # fmt: skip
    exec(compile(text, path, "exec"), namespace)
    function = namespace["loop"]
    return triton.jit(do_not_specialize=["steps", "size", "period"])(function)
