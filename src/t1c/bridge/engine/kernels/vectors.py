"""Memory as vectors of LLVM, for loops that a compiler does not make short work of, on CPUs.

Where a loop is short, what a compiler puts around it (does anything overlap? what is left over?)
takes longer than the loop. What is made of these has none of it, and every processor makes of its
vectors what it has. Arrays are flat; nothing is checked.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir as llvm
from numba.core import cgutils

build: Any = cgutils
"""Loops and variables in a function that is being generated."""
LANES = 8
"""Elements of a vector that has a mask."""
WORD, HALF = llvm.IntType(64), llvm.IntType(32)


class Memory:
    """Arrays of a function that is being generated, as vectors at places in them."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder = context, builder
        self.types, self.values = signature.args, arguments

    def element(self, argument: int) -> Any:
        return self.context.get_data_type(self.types[argument].dtype)

    def pointer(self, argument: int, at: Any, lanes: int = 0) -> Any:
        """Where element ``at`` of an argument is; with ``lanes``, as a vector of so many."""
        array = self.context.make_array(self.types[argument])
        data = array(self.context, self.builder, self.values[argument]).data
        place = self.builder.gep(data, [at])
        if not lanes:
            return place
        vector = llvm.VectorType(self.element(argument), lanes)
        return self.builder.bitcast(place, vector.as_pointer())

    def load(self, argument: int, at: Any, lanes: Any) -> Any:
        """So many elements from ``at`` on; with a mask for lanes, those it names, else zero."""
        if isinstance(lanes, int):
            value = self.builder.load(self.pointer(argument, at, lanes))
            value.align = self._align(argument)
            return value
        vector = llvm.VectorType(self.element(argument), LANES)
        place = self.pointer(argument, at, LANES)
        kind = llvm.FunctionType(vector, [place.type, HALF, lanes.type, vector])
        align = llvm.Constant(HALF, self._align(argument))
        rest = llvm.Constant(vector, None)
        return self._call("load", vector, kind, [place, align, lanes, rest])

    def store(self, argument: int, at: Any, value: Any, lanes: Any) -> None:
        """Write a vector; with a mask for lanes, those it names."""
        place = self.pointer(argument, at, value.type.count)
        if isinstance(lanes, int):
            self.builder.store(value, place).align = self._align(argument)
            return
        kind = llvm.FunctionType(llvm.VoidType(), [value.type, place.type, HALF, lanes.type])
        align = llvm.Constant(HALF, self._align(argument))
        self._call("store", value.type, kind, [value, place, align, lanes])

    def _align(self, argument: int) -> int:
        return int(self.types[argument].dtype.bitwidth) // 8

    def _call(self, verb: str, vector: Any, kind: Any, arguments: list[Any]) -> Any:
        element = "f32" if isinstance(vector.element, llvm.FloatType) else "f64"
        name = f"llvm.masked.{verb}.v{LANES}{element}.p0"
        function = build.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def prefetch(self, argument: int, at: Any, count: int) -> None:
        """Ask for so many elements from ``at`` on, which need not exist, for one use only."""
        byte = llvm.IntType(8).as_pointer()
        kind = llvm.FunctionType(llvm.VoidType(), [byte, HALF, HALF, HALF])
        name = "llvm.prefetch.p0"
        function = build.get_or_insert_function(self.builder.module, kind, name)
        read, once, data = (llvm.Constant(HALF, value) for value in (0, 0, 1))
        for k in range(0, count, 64 // self._align(argument)):
            there = self.pointer(argument, self.builder.add(at, llvm.Constant(WORD, k)))
            place = self.builder.bitcast(there, byte)
            self.builder.call(function, [place, read, once, data])

    def first(self, count: Any) -> Any:
        """A mask of the first ``count`` lanes."""
        numbers = llvm.Constant(llvm.VectorType(HALF, LANES), list(range(LANES)))
        limit = self.spread(self.builder.trunc(count, HALF), LANES)
        return self.builder.icmp_signed("<", numbers, limit)

    def spread(self, scalar: Any, lanes: int) -> Any:
        """A vector of one number."""
        vector = llvm.VectorType(scalar.type, lanes)
        empty = llvm.Constant(vector, llvm.Undefined)
        one = self.builder.insert_element(empty, scalar, llvm.Constant(HALF, 0))
        zeros = llvm.Constant(llvm.VectorType(HALF, lanes), [0] * lanes)
        return self.builder.shuffle_vector(one, empty, zeros)
