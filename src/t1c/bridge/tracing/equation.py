"""The equation of torch.einsum: which axes of its operands are one, and which are summed over."""

from __future__ import annotations

from dataclasses import dataclass

from .axes import AxisError
from .record import Call

_ELLIPSIS = [chr(code) for code in range(0x3B1, 0x3B1 + 16)]
"""Letters that no equation may hold, for the axes behind an ellipsis."""


@dataclass(frozen=True)
class Equation:
    """An equation with a letter for each axis.

    Attributes:
        operands: the letters of each operand.
        result: the letters of the result.
    """

    operands: tuple[str, ...]
    result: str


def equation_of(call: Call) -> Equation:
    """The equation of a call.

    Raises:
        AxisError: a letter stands twice in one operand, or for axes of two sizes.
    """
    written = str(call.args[0]).replace(" ", "")
    left, arrow, right = written.partition("->")
    terms = left.split(",")
    ranks = [len(value.shape) for value in call.inputs]
    hidden = max(
        (n - len(t.replace("...", "")) for t, n in zip(terms, ranks, strict=True) if "..." in t),
        default=0,
    )
    spelled = []
    for term, rank in zip(terms, ranks, strict=True):
        own = rank - len(term.replace("...", ""))
        spelled.append(term.replace("...", "".join(_ELLIPSIS[hidden - own : hidden])))
    if not arrow:
        letters = "".join(terms).replace(".", "")
        right = "..." if "..." in left else ""
        right += "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    result = right.replace("...", "".join(_ELLIPSIS[:hidden]))
    sizes: dict[str, int] = {}
    for labels, value in zip(spelled, call.inputs, strict=True):
        if len(set(labels)) < len(labels):
            raise AxisError(f"a diagonal in torch's einsum {written!r}")
        for label, size in zip(labels, value.shape, strict=True):
            if sizes.setdefault(label, size) != size:
                raise AxisError(f"axes of two sizes for one letter in torch's einsum {written!r}")
    return Equation(tuple(spelled), result)
