"""A loop in Triton: each thread keeps what its element carries in registers through all steps."""

from __future__ import annotations

from .loop import Loop
from .operations import OPERATIONS


def source(loop: Loop) -> str:
    """The text of a function ``loop``; no name and no number of a graph is in it.

    Its arguments are pointers to what ``llvm_source.source`` takes as arrays, in that order, then
    steps, elements, and how many elements the laid parameters have. Half types are computed in
    float32, and each result is rounded to the half type, as torch does it.
    """
    reads = [f"r{n}" for n in loop.reads]
    writes = [f"w{n}" for n in range(len(loop.writes))]
    arrays = ", ".join(["numbers", "single", "laid", "carried", "sums", *reads, *writes])
    carried, sums = range(len(loop.carried)), range(len(loop.sums))
    numbers = len(loop.numbers)
    start = "n + (steps - 1) * size" if loop.backwards else "n"
    lines = [
        f"def loop({arrays}, steps, size, period, BLOCK: tl.constexpr):",
        "    dtype: tl.constexpr = carried.dtype.element_ty",
        # All steps of all elements may be more than 32 bits can count.
        "    size = size.to(tl.int64)",
        "    period = period.to(tl.int64)",
        "    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)",
        "    there = n < size",
        # The same for all, and still one for each.
        "    zero = tl.load(numbers + n * 0)",
        "    one = tl.load(numbers + n * 0 + 1)",
    ]
    lines += [f"    number{n} = tl.load(numbers + n * 0 + {n + 2})" for n in range(numbers)]
    for leaf, at, options in (
        ("single", "single + n * 0 + {0}", ""),
        ("laid", "laid + {0} * period + n % period", ", mask=there, other=1"),
        ("carried", "carried + {0} * size + n", ", mask=there"),
    ):
        of = carried if leaf == "carried" else sorted(loop.leaves(leaf))
        lines += [f"    {leaf}{n} = widened(tl.load({at.format(n)}{options}))" for n in of]
    lines += [f"    sum{n} = zero" for n in sums]
    lines += [f"    at = {start}", "    for _ in range(steps):"]
    lines += [f"        {line}" for line in _step(loop)]
    lines.append(f"        at {'-' if loop.backwards else '+'}= size")
    for n in carried:
        value = f"narrowed(carried{n}, dtype)"
        lines.append(f"    tl.store(carried + {n} * size + n, {value}, mask=there)")
    lines += [f"    tl.store(sums + {n} * size + n, sum{n}, mask=there)" for n in sums]
    return "\n".join(lines) + "\n"


def _step(loop: Loop) -> list[str]:
    """One step of a block of elements."""
    lines: list[str] = []
    names: list[str] = []
    numbers = 0
    for place, entry in enumerate(loop.entries):
        name = f"v{place}"
        if entry.op == "number":
            name = f"number{numbers}"
            numbers += 1
        elif entry.op in ("single", "laid", "carried"):
            name = f"{entry.op}{entry.detail}"
        elif entry.op == "read":
            lines.append(f"{name} = widened(tl.load(r{entry.detail} + at, mask=there))")
        else:
            row = OPERATIONS[entry.op]
            assert row.triton is not None
            text = row.triton.format(*(names[p] for p in entry.operands))
            lines.append(f"{name} = {text if row.condition else f'rounded({text}, dtype)'}")
        names.append(name)
    for n, place in enumerate(loop.writes):
        lines.append(f"tl.store(w{n} + at, narrowed({names[place]}, dtype), mask=there)")
    lines += [f"sum{n} += {names[place]}" for n, place in enumerate(loop.sums)]
    # All at once: what is handed on may be what was handed over, under another number.
    if loop.carried:
        targets = ", ".join(f"carried{n}" for n in range(len(loop.carried)))
        lines.append(f"{targets} = {', '.join(names[place] for place in loop.carried)}")
    return lines
