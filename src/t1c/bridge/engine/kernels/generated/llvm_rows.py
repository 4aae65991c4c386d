"""Rows of the table of operations as instructions of LLVM, for one element.

A row is an expression in Python, of which a few forms are known here. Its compiler sees one element
of one floating-point type; it works several at once where a loop surrounds it.
"""

from __future__ import annotations

import ast
import functools
from typing import Any

from llvmlite import ir as llvm

from .operations import OPERATIONS

KINDS: dict[str, Any] = {"float32": llvm.FloatType(), "float64": llvm.DoubleType()}
"""Types of numbers by their names in NumPy."""
WORD = llvm.IntType(64)
"""What counts, and what an address is."""

_PLACES = [f"p{n}" for n in range(3)]
_ARITHMETIC = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
# Nothing compares with what is no number, from which everything differs.
_COMPARING = {
    ast.Lt: ("ordered", "<"), ast.LtE: ("ordered", "<="), ast.Gt: ("ordered", ">"),
    ast.GtE: ("ordered", ">="), ast.Eq: ("ordered", "=="), ast.NotEq: ("unordered", "!="),
}  # fmt: skip
_INTRINSICS = {"abs": "fabs", "floor": "floor", "rint": "rint", "sqrt": "sqrt", "exp": "exp",
               "log": "log", "power": "pow"}  # fmt: skip
_FUNCTIONS = {"tanh": ("tanhf", "tanh")}
"""Of the C library, for float and for double."""


@functools.cache
def arity(op: str) -> int:
    """How many operands an operation has."""
    return sum(f"{{{n}}}" in OPERATIONS[op].scalar for n in range(3))


@functools.cache
def _parsed(op: str) -> ast.expr:
    return ast.parse(OPERATIONS[op].scalar.format(*_PLACES), mode="eval").body


def row(builder: Any, kind: Any, op: str, operands: list[Any]) -> Any:
    """Write down an operation; the value of its result.

    Args:
        builder: stands where the instructions go.
        kind: the type of numbers; a condition is one bit.
        op: a row of ``OPERATIONS``.
        operands: their values.
    """
    names = dict(zip(_PLACES, operands, strict=False))
    names |= {"zero": llvm.Constant(kind, 0.0), "one": llvm.Constant(kind, 1.0)}

    def value(node: ast.expr) -> Any:
        match node:
            case ast.Name(id=name):
                return names[name]
            case ast.BinOp(left=a, op=sign, right=b):
                return getattr(builder, _ARITHMETIC[type(sign)])(value(a), value(b))
            case ast.UnaryOp(op=ast.USub(), operand=a):
                return builder.fneg(value(a))
            case ast.Compare(left=a, ops=[sign], comparators=[b]):
                order, text = _COMPARING[type(sign)]
                return getattr(builder, f"fcmp_{order}")(text, value(a), value(b))
            case ast.BoolOp(op=ast.Or(), values=[a, b]):
                return builder.or_(value(a), value(b))
            case ast.IfExp(test=test, body=yes, orelse=no):
                return builder.select(value(test), value(yes), value(no))
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=arguments):
                given = [value(a) for a in arguments]
                return builder.call(_function(builder.module, kind, name, len(given)), given)
        raise AssertionError(f"{ast.unparse(node)!r} is no form of a row")

    return value(_parsed(op))


def _function(module: Any, kind: Any, name: str, count: int) -> Any:
    if name in _INTRINSICS:
        signature = llvm.FunctionType(kind, [kind] * count)
        return module.declare_intrinsic(f"llvm.{_INTRINSICS[name]}", [kind], signature)
    called = _FUNCTIONS[name][kind == KINDS["float64"]]
    if called not in module.globals:
        llvm.Function(module, llvm.FunctionType(kind, [kind] * count), called)
    return module.globals[called]
