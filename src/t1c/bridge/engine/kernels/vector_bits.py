"""Which of eight elements are not zero, as the bits of a byte, for CPUs."""

from __future__ import annotations

from typing import Any

from llvmlite import ir as llvm
from numba import types
from numba.extending import intrinsic

from .vectors import LANES, WORD, Memory


def _masking(whole: bool) -> Any:
    """A function that compares eight elements with zero and one; not ``whole``: fewer."""

    def typing(_: Any, x: Any, at: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            memory = Memory(context, builder, signature, arguments)
            _, at, count = arguments
            found = memory.load(0, at, LANES if whole else memory.first(count))
            zero, one = (llvm.Constant(found.type, [value] * LANES) for value in (0.0, 1.0))
            masks = [
                builder.fcmp_unordered("!=", found, zero),
                builder.fcmp_ordered("==", found, one),
            ]
            words = [builder.zext(builder.bitcast(m, llvm.IntType(8)), WORD) for m in masks]
            return context.make_tuple(builder, signature.return_type, words)

        word = types.int64
        pair: Any = types.UniTuple
        return pair(word, 2)(x, word, word), generate

    return intrinsic(typing)


mask_eight, mask_few = _masking(True), _masking(False)
"""(Which of the elements from a place on are not zero, which are one), the first in the lowest bit;
of eight, or of the first ``count``."""
