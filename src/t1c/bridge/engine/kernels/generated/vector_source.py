"""Every operation as a loop of its own over vectors, in one function: for who needs no compiler.

A generated loop is compiled for its graph, which takes longer than a short sequence does. This
function is compiled once, for every graph: it is told by number which operation to work.
"""

from __future__ import annotations

from .operations import OPERATIONS

NUMBERS = {name: number for number, name in enumerate(OPERATIONS)}
"""Name of an operation -> what the function calls it."""


def source(kind: str) -> str:
    """The text of a function ``loop(code, n, y, a, b, c)`` for numbers of one NumPy type.

    It writes the operation number ``code`` of the elements 0 to ``n`` of ``a``, ``b`` and ``c``, as
    many as it has operands, to ``y``, which overlaps none of them. A condition is 1 or 0.
    """
    lines = [
        "def loop(code, n, y, a, b, c):",
        f"    zero, one = np.{kind}(0), np.{kind}(1)",
    ]
    for name, row in OPERATIONS.items():
        count = next(n for n in range(4) if f"{{{n}}}" not in row.numba)
        given = [f"{operand} = {of}[k]" for operand, of in zip("pqr"[:count], "abc", strict=False)]
        names = ["p != zero" if name == "where" else "p", "q", "r"]
        text = row.numba.format(*names)
        lines += [
            f"    {'if' if not NUMBERS[name] else 'elif'} code == {NUMBERS[name]}:",
            "        for k in range(n):",
            *(f"            {line}" for line in given),
            f"            y[k] = {f'one if {text} else zero' if row.condition else text}",
        ]
    return "\n".join(lines) + "\n"
