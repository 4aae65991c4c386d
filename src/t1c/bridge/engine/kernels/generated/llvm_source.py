"""A loop in the language of LLVM: blocks of elements, each walked through all steps.

What each array holds of an element is a pointer of its own, of which the compiler is told that it
overlaps no other: it then works several elements at once. Written straight down: Python that says
the same takes Numba ten times as long to understand as LLVM to compile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir as llvm

from .llvm_rows import KINDS, WORD, row
from .loop import Loop

BLOCK = 512
"""Elements of a block: what is carried of them stays in the first-level cache."""
HEAD = 9
"""Words of a table before those of the arrays: see ``source``."""


def source(loop: Loop, kind: str, name: str) -> str:
    """The text of a function ``name(first, last, table)``; no name and no number of a graph is in.

    It works the elements ``first`` to ``last``. The table of 64-bit words: the number of steps;
    addresses of ``numbers``, zero, one and those of the loop, and of ``single`` (parameters,);
    the address of ``laid`` (parameters, P), and P, element n has those at n modulo P; the address
    of ``carried`` (values, N), before the first step, which become those after the last, and N;
    the address of ``sums`` (values, N), written, and N; then of each array read and of each
    written, (steps, ...), in their order, its address and what lies between two steps. Rows lie
    without gaps.

    Args:
        loop: the loop.
        kind: the type of all numbers, as NumPy calls it.
        name: of the function.
    """
    module, number = llvm.Module(name), KINDS[kind]
    word, pointer = WORD, number.as_pointer()
    arrays = len(loop.reads) + len(loop.writes)
    rows = [*sorted(loop.leaves("laid")), *range(len(loop.carried)), *range(len(loop.sums))]
    outer = llvm.Function(
        module, llvm.FunctionType(llvm.VoidType(), [word, word, word.as_pointer()]), name
    )
    taken = [word] * 4 + [pointer] * (2 + len(rows)) + [pointer, word] * arrays
    inner = llvm.Function(module, llvm.FunctionType(llvm.VoidType(), taken), f"{name}_steps")
    inner.linkage = "internal"
    inner.attributes.add("noinline")
    for argument in inner.args:
        if argument.type == pointer:
            argument.add_attribute("noalias")
    _unpack(loop, outer, inner, pointer)
    _walk(loop, inner, number)
    return str(module)


def _unpack(loop: Loop, outer: Any, inner: Any, pointer: Any) -> None:
    """Have the function that is called hand what stands in the table to the other."""
    builder = llvm.IRBuilder(outer.append_basic_block())
    first, last, table = outer.args

    def entry(n: int) -> Any:
        return builder.load(builder.gep(table, [WORD(n)]))

    def of(n: int) -> Any:
        return builder.inttoptr(entry(n), pointer)

    def along(n: int, numbers: list[int]) -> list[Any]:
        start, step = of(n), entry(n + 1)
        return [builder.gep(start, [builder.mul(step, WORD(k))]) for k in numbers]

    passed = [first, last, entry(0), entry(4), of(1), of(2)]
    passed += along(3, sorted(loop.leaves("laid")))
    passed += along(5, [*range(len(loop.carried))]) + along(7, [*range(len(loop.sums))])
    for n in range(len(loop.reads) + len(loop.writes)):
        passed += [of(HEAD + 2 * n), entry(HEAD + 2 * n + 1)]
    builder.call(inner, passed)
    builder.ret_void()


def _walk(loop: Loop, function: Any, number: Any) -> None:
    """Write the loops: over blocks, over steps, over elements."""
    first, last, steps, period, numbers, single, *rest = function.args
    builder = llvm.IRBuilder(function.append_basic_block())
    laid, carried, sums = (
        [rest.pop(0) for _ in range(count)]
        for count in (len(loop.leaves("laid")), len(loop.carried), len(loop.sums))
    )
    arrays = [(rest[n], rest[n + 1]) for n in range(0, len(rest), 2)]
    reads, writes = arrays[: len(loop.reads)], arrays[len(loop.reads) :]
    for n, array in loop.over:
        writes[n] = reads[loop.reads.index(array)]
    constants = [
        builder.load(builder.gep(numbers, [WORD(n + 2)])) for n in range(len(loop.numbers))
    ]
    alone = {n: builder.load(builder.gep(single, [WORD(n)])) for n in sorted(loop.leaves("single"))}
    zero = llvm.Constant(number, 0.0)

    def least(a: Any, b: Any) -> Any:
        return builder.select(builder.icmp_signed("<", a, b), a, b)

    def shifted(pointers: list[Any], by: Any) -> list[Any]:
        return [builder.gep(p, [by]) for p in pointers]

    with counting(builder, first, last) as (a, following):
        # A block ends where the period of coefficients begins anew.
        n = least(WORD(BLOCK), builder.sub(last, a))
        at = builder.srem(a, period) if laid else WORD(0)
        if laid:
            n = least(n, builder.sub(period, at))
        own = shifted(laid, at)
        states, added = shifted(carried, a), shifted(sums, a)
        if sums:
            with counting(builder, WORD(0), n) as (k, _):
                for p in shifted(added, k):
                    builder.store(zero, p)
        with counting(builder, WORD(0), steps) as (taken, _):
            t = builder.sub(builder.sub(steps, WORD(1)), taken) if loop.backwards else taken
            read, written = (
                [builder.gep(p, [builder.add(builder.mul(t, by), a)]) for p, by in pairs]
                for pairs in (reads, writes)
            )
            with counting(builder, WORD(0), n) as (k, _):
                _step(loop, builder, number, constants, alone, *(
                    shifted(pointers, k) for pointers in (own, states, added, read, written)
                ))  # fmt: skip
        following(builder.add(a, n))
    builder.ret_void()


@contextmanager
def counting(builder: Any, start: Any, stop: Any) -> Iterator[tuple[Any, Any]]:
    """A loop around what is written meanwhile: its counter, and a function to say the next one."""
    before = builder.block
    body, behind = builder.append_basic_block(), builder.append_basic_block()
    builder.cbranch(builder.icmp_signed("<", start, stop), body, behind)
    builder.position_at_end(body)
    counter = builder.phi(WORD)
    counter.add_incoming(start, before)
    said: list[Any] = []
    yield counter, said.append
    following = said[0] if said else builder.add(counter, WORD(1), flags=["nsw"])
    counter.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, stop), body, behind)
    builder.position_at_end(behind)


def _step(
    loop: Loop, builder: Any, kind: Any, numbers: list[Any], single: dict[int, Any],
    laid: list[Any], carried: list[Any], sums: list[Any], reads: list[Any], writes: list[Any],
) -> None:  # fmt: skip
    """One step of one element, at which all pointers point."""
    values: list[Any] = []
    constants = iter(numbers)
    laid_of = dict(zip(sorted(loop.leaves("laid")), laid, strict=True))
    read_of = dict(zip(loop.reads, reads, strict=True))
    for entry in loop.entries:
        if entry.op == "number":
            value = next(constants)
        elif entry.op == "single":
            value = single[entry.detail]
        elif entry.op == "read":
            value = builder.load(read_of[entry.detail])
        elif entry.op == "carried":
            value = builder.load(carried[entry.detail])
        elif entry.op == "laid":
            value = builder.load(laid_of[entry.detail])
        else:
            value = row(builder, kind, entry.op, [values[p] for p in entry.operands])
        values.append(value)
    for to, place in zip([*writes, *carried], [*loop.writes, *loop.carried], strict=True):
        builder.store(values[place], to)
    for to, place in zip(sums, loop.sums, strict=True):
        builder.store(builder.fadd(builder.load(to), values[place]), to)
