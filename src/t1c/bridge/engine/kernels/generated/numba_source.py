"""A loop in Python, as Numba compiles it: blocks of elements, each walked through all steps.

What a block needs again and again lies in one piece of memory, at fixed distances: the compiler
then sees that nothing overlaps, and works several elements at once.
"""

from __future__ import annotations

import functools

from .loop import Loop
from .operations import OPERATIONS

BLOCK = 512
"""Elements of a block."""
ROW = BLOCK + 16
"""From one row of a block's own memory to the next: a cache line more, lest all rows begin at the
same place of a page, where what is written seems to be what is read next."""
CHECKS = 8
"""Pairs of pieces of memory that the compiler is ready to look at, lest they overlap."""


@functools.lru_cache(maxsize=1024)
def source(loop: Loop) -> str:
    """The text of a function ``loop``; no name and no number of a graph is in it.

    Its arguments: ``first``, ``last``, the elements to work; ``steps``; ``numbers``, zero, one and
    those of the loop; ``single`` (parameters,); ``laid`` (parameters, P), element n has those at n
    modulo P; ``carried`` (values, N), before the first step, which become those after the last;
    ``sums`` (values, N), written; then the arrays read and those written, each (steps, N), in their
    order.
    """
    reads = [f"r{n}" for n in loop.reads]
    writes = [f"w{n}" for n in range(len(loop.writes))]
    laid, single = sorted(loop.leaves("laid")), sorted(loop.leaves("single"))
    carried, sums = range(len(loop.carried)), range(len(loop.sums))
    direct = [*writes, *reads]
    staged: list[str] = []
    while _checks(sum(name in writes for name in direct), len(direct)) > CHECKS:
        staged.append(direct.pop())
    rows = [*(f"laid{n}" for n in laid), *(f"carried{n}" for n in carried)]
    rows += [*(f"sum{n}" for n in sums), *(f"{name}s" for name in staged)]
    arrays = ", ".join(["single", "laid", "carried", "sums", *reads, *writes])
    lines = [
        f"def loop(first, last, steps, numbers, {arrays}):",
        "    zero, one = numbers[0], numbers[1]",
        *(f"    number{n} = numbers[{n + 2}]" for n in range(len(loop.numbers))),
        *(f"    single{n} = single[{n}]" for n in single),
        f"    room = np.empty({ROW * max(1, len(rows))}, numbers.dtype)",
        f"    for a in range(first, last, {BLOCK}):",
        f"        n = min({BLOCK}, last - a)",
        *(f"        {row} = room[{ROW * i} : {ROW * i} + n]" for i, row in enumerate(rows)),
    ]
    if laid:
        lines += [
            "        j = a % laid.shape[1]",
            "        for k in range(n):",
            *(f"            laid{n}[k] = laid[{n}, j]" for n in laid),
            "            j += 1",
            "            if j == laid.shape[1]:",
            "                j = 0",
        ]
    for n in carried:
        lines += _copy(f"carried{n}[k]", f"carried[{n}, a + k]", 8)
    for n in sums:
        lines += _copy(f"sum{n}[k]", "zero", 8)
    order = "range(steps - 1, -1, -1)" if loop.backwards else "range(steps)"
    lines.append(f"        for t in {order}:")
    lines += [f"            {name}s = {name}[t, a : a + n]" for name in direct]
    for name in reads:
        if name in staged:
            lines += _copy(f"{name}s[k]", f"{name}[t, a + k]", 12)
    lines.append("            for k in range(n):")
    lines += [f"                {line}" for line in _step(loop)]
    for name in writes:
        if name in staged:
            lines += _copy(f"{name}[t, a + k]", f"{name}s[k]", 12)
    for n in carried:
        lines += _copy(f"carried[{n}, a + k]", f"carried{n}[k]", 8)
    for n in sums:
        lines += _copy(f"sums[{n}, a + k]", f"sum{n}[k]", 8)
    return "\n".join(lines) + "\n"


def _checks(written: int, direct: int) -> int:
    """Pairs of these and the block's own memory of which at least one is written."""
    read = direct - written
    return (direct + 1) * direct // 2 - read * (read - 1) // 2


def _copy(to: str, of: str, indent: int) -> list[str]:
    return [f"{' ' * indent}for k in range(n):", f"{' ' * indent}    {to} = {of}"]


def _step(loop: Loop) -> list[str]:
    """One step of one element."""
    lines: list[str] = []
    names: list[str] = []
    numbers = 0
    for place, entry in enumerate(loop.entries):
        name = f"v{place}"
        if entry.op == "number":
            name = f"number{numbers}"
            numbers += 1
        elif entry.op == "single":
            name = f"single{entry.detail}"
        elif entry.op == "read":
            lines.append(f"{name} = r{entry.detail}s[k]")
        elif entry.op in ("carried", "laid"):
            lines.append(f"{name} = {entry.op}{entry.detail}[k]")
        else:
            text = OPERATIONS[entry.op].numba.format(*(names[p] for p in entry.operands))
            lines.append(f"{name} = {text}")
        names.append(name)
    lines += [f"w{n}s[k] = {names[place]}" for n, place in enumerate(loop.writes)]
    lines += [f"carried{n}[k] = {names[place]}" for n, place in enumerate(loop.carried)]
    lines += [f"sum{n}[k] += {names[place]}" for n, place in enumerate(loop.sums)]
    return lines or ["pass"]
