"""Addresses in loops that Numba compiles: as pointers, and as functions of C that are called."""

from __future__ import annotations

from typing import Any

from llvmlite import ir as llvm
from numba import types
from numba.extending import intrinsic

HEAD = 9
"""Words of what a generated loop is told before those of its arrays: see
``generated.llvm_source``."""
_WORD, _BYTE = llvm.IntType(64), llvm.IntType(8).as_pointer()


def _pointer(context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], llvm.IntType(8).as_pointer())

    return types.voidptr(address), generate


pointer: Any = intrinsic(_pointer)


def _call(builder: Any, function: Any, words: list[Any], pointers: list[Any]) -> None:
    """Call what lies at an address with words and, behind them, pointers; it returns nothing."""
    taken = [*(_WORD for _ in words), *(_BYTE for _ in pointers)]
    address = builder.inttoptr(function, llvm.FunctionType(llvm.VoidType(), taken).as_pointer())
    builder.call(address, [*words, *(builder.inttoptr(p, _BYTE) for p in pointers)])


def _work_elements(_: Any, function: Any, code: Any, n: Any, y: Any, a: Any, b: Any, c: Any) -> Any:
    """Call the function of C at an address, as ``generated.made.vectors`` made it."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        function, code, n, *vectors = arguments
        _call(builder, function, [code, n], vectors)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


work_elements: Any = intrinsic(_work_elements)


def _work_loop(_: Any, function: Any, last: Any, table: Any) -> Any:
    """Call the function of a loop for its elements from 0 on: see ``generated.made.address``."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        function, last, table = arguments
        _call(builder, function, [_WORD(0), last], [table])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


work_loop: Any = intrinsic(_work_loop)
