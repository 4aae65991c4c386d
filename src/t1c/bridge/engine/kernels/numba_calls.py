"""Addresses in loops that Numba compiles: as pointers, and as functions of C that are called."""

from __future__ import annotations

from typing import Any

from llvmlite import ir as llvm
from numba import types
from numba.extending import intrinsic

from .compiled import compiled
from .generated.llvm_source import HEAD

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


def _work_loop(_: Any, function: Any, first: Any, last: Any, table: Any) -> Any:
    """Call the function of a loop for some elements: see ``generated.made.address``."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        function, first, last, table = arguments
        _call(builder, function, [first, last], [table])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


work_loop: Any = intrinsic(_work_loop)


@compiled
def say(
    table: Any, steps: int, numbers: int, laid: int, period: int, state: int, apart: int, added: int
) -> None:
    """Fill in what a loop is told before its arrays; see ``walk`` for the arguments.

    ``added`` is where what it adds up is, ``apart`` elements from one to the next; 0: nowhere.
    """
    table[0], table[1], table[2] = steps, numbers, 0
    table[3], table[4] = laid, period
    table[5], table[6] = state, apart
    table[7], table[8] = added, apart


@compiled
def walk(
    loop: int, table: Any, first: int, last: int, steps: int, numbers: int, laid: int, period: int,
    state: int, apart: int, x: int, x_step: int, y: int, y_step: int,
) -> None:  # fmt: skip
    """Have neurons take steps.

    Args:
        loop: where the neuron's loop is.
        table: room for what it is told.
        first: the first element.
        last: the one after the last.
        steps: how many.
        numbers: where those of the loop are.
        laid: where coefficients (8, period) are: element n has those at n modulo ``period``.
        period: of them.
        state: where the first variable of the state is, of element 0.
        apart: elements from there to the next variable.
        x: where the input of element 0 is in the first step.
        x_step: elements from there to the next step.
        y: where the output of element 0 is, which a loop in place leaves out of account.
        y_step: elements from there to the next step.
    """
    say(table, steps, numbers, laid, period, state, apart, 0)
    table[HEAD], table[HEAD + 1], table[HEAD + 2], table[HEAD + 3] = x, x_step, y, y_step
    work_loop(loop, first, last, table.ctypes.data)


WALK = HEAD + 4
"""Words that ``walk`` tells a loop."""
