"""Every operation as a loop of its own over vectors, in one function: for who needs no compiler.

A generated loop is compiled for its graph, which takes longer than a short sequence does. This
function is compiled once, for every graph: it is told by number which operation to work.
"""

from __future__ import annotations

from llvmlite import ir as llvm

from .llvm_rows import KINDS, WORD, arity, row
from .llvm_source import counting
from .operations import NUMBERS, OPERATIONS


def source(kind: str, name: str) -> str:
    """The text of a function ``name(code, n, y, a, b, c)`` for numbers of one NumPy type.

    It writes the operation number ``code`` of the elements 0 to ``n`` of ``a``, ``b`` and ``c``, as
    many as it has operands, to ``y``, which overlaps none of them. A condition is 1 or 0.
    """
    module, number = llvm.Module(name), KINDS[kind]
    taken = [WORD, WORD, *[number.as_pointer()] * 4]
    function = llvm.Function(module, llvm.FunctionType(llvm.VoidType(), taken), name)
    code, n, y, *given = function.args
    y.add_attribute("noalias")
    builder = llvm.IRBuilder(function.append_basic_block())
    zero, one = llvm.Constant(number, 0.0), llvm.Constant(number, 1.0)
    behind = builder.append_basic_block()
    chosen = builder.switch(code, behind)
    for op, its in NUMBERS.items():
        block = builder.append_basic_block()
        chosen.add_case(WORD(its), block)
        builder.position_at_end(block)
        with counting(builder, WORD(0), n) as (k, _):
            operands = [builder.load(builder.gep(p, [k])) for p in given[: arity(op)]]
            if op == "where":
                operands[0] = builder.fcmp_unordered("!=", operands[0], zero)
            value = row(builder, number, op, operands)
            if OPERATIONS[op].condition:
                value = builder.select(value, one, zero)
            builder.store(value, builder.gep(y, [k]))
        builder.branch(behind)
    builder.position_at_end(behind)
    builder.ret_void()
    return str(module)
