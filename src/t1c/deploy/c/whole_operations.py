"""The operations of one element on integers: exact, in 32 bits or, where those are too few, 64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from t1c.ir.errors import Problem, UnsupportedError

from .operations import CONDITIONS
from .term import Term, Writer
from .whole import Whole, result

TEXTS = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "negative": "-{0}",
    "maximum": "{0} > {1} ? {0} : {1}",
    "minimum": "{0} < {1} ? {0} : {1}",
    "where": "{0} ? {1} : {2}",
    "greater": "{0} > {1}",
    "greater_or_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "equal": "{0} == {1}",
    "unequal": "{0} != {1}",
}
LIMIT = 2**63


def integer_operation(loop: Writer, name: str, terms: Sequence[Term]) -> Term:
    """A line that works one operation: on integers if all operands are, else on real numbers."""
    head = list(terms[:1]) if name == "where" else []
    numbers = list(terms[len(head) :])
    if name not in TEXTS or any(term.whole is None for term in numbers):
        return loop.real_operation(name, [*head, *(loop.real(term) for term in numbers)])
    if name == "multiply":
        for one, other in (numbers, numbers[::-1]):
            if one.whole is not None and one.whole.low == one.whole.high == 1:
                return _shifted(other, one.whole.shift)
    else:
        most = max(t.whole.shift for t in numbers if t.whole is not None)
        numbers = [placed(loop, term, most) for term in numbers]
    wholes = [term.whole for term in numbers if term.whole is not None]
    made = result(name, wholes)
    texts = [term.text for term in numbers]
    if name in CONDITIONS:
        text = TEXTS[name].format(*texts)
        return loop.line((text,), text, condition=True)
    assert made is not None
    return _line(loop, name, made, wholes, texts, head, all(t.spikes for t in numbers))


def _line(
    loop: Writer,
    name: str,
    made: Whole,
    wholes: Sequence[Whole],
    texts: Sequence[str],
    head: Sequence[Term],
    spikes: bool,
) -> Term:
    if not (made.low >= -LIMIT and made.high < LIMIT):
        raise UnsupportedError(
            Problem("numbers that 64 bits may not hold", "less", "Quantise it with fewer bits.")
        )
    kinds = {whole.worked for whole in wholes}
    if made.worked == "int64_t" and "int64_t" not in kinds:
        texts = [f"(int64_t){texts[0]}", *texts[1:]]
    text = TEXTS[name].format(*(term.text for term in head), *texts)
    if made.worked == "int32_t" and "int64_t" in kinds:
        text = f"(int32_t)({text})"
    bits = name == "where" and made.low >= 0 and made.high <= 1 and made.shift == 0
    return loop.line((name, text), text, False, (spikes and bits) or bits, made)


def _shifted(term: Term, places: int) -> Term:
    """The same integer, with more places behind the point."""
    assert term.whole is not None
    whole = Whole(term.whole.low, term.whole.high, term.whole.shift + places)
    value = None if term.value is None else term.value * 2.0**-places
    return replace(term, whole=whole, value=value, spikes=term.spikes and not places)


def placed(loop: Writer, term: Term, shift: int) -> Term:
    """The same number, with so many places behind the point."""
    assert term.whole is not None
    if term.whole.shift == shift:
        return term
    if term.whole.shift > shift:
        return _lowered(loop, "t1c_floor", term, term.whole.shift - shift, shift)
    whole = term.whole.raised(shift)
    if term.value is not None:
        text = str(whole.low)
        text = f"({text})" if text.startswith("-") else text
        return replace(term, text=text, whole=whole)
    text = f"{term.text} * {1 << (shift - term.whole.shift)}"
    if whole.worked == "int64_t" and term.whole.worked != "int64_t":
        text = f"(int64_t){text}"
    return loop.line((text,), text, whole=whole)


def integer_call(loop: Writer, function: str, term: Term) -> Term | None:
    """A function of an integer; None if it gives none."""
    whole = term.whole
    assert whole is not None
    if function in ("t1c_floor", "t1c_round"):
        return term if not whole.shift else _lowered(loop, function, term, whole.shift, 0)
    if function == "t1c_abs":
        text = f"{term.text} < 0 ? -{term.text} : {term.text}"
        most = max(abs(whole.low), abs(whole.high))
        made = Whole(0, most, whole.shift)
        return loop.line((text,), text, False, False, made) if most < 2**31 else None
    if function == "t1c_sign":
        text = f"({term.text} > 0) - ({term.text} < 0)"
        return loop.line((text,), text, False, False, Whole(-1, 1))
    return None


def _lowered(loop: Writer, function: str, term: Term, places: int, shift: int) -> Term:
    """Rounded to fewer places, down or to the nearest."""
    whole = term.whole
    assert whole is not None
    made = Whole(whole.low >> places, (whole.high >> places) + (function == "t1c_round"), shift)
    wide = "_wide" if whole.worked == "int64_t" else ""
    called = loop.function(f"{function}_shift{wide}")
    text = f"{called}({term.text}, {places})"
    if wide and made.worked == "int32_t":
        text = f"(int32_t){text}"
    return loop.line((text,), text, False, False, made)
