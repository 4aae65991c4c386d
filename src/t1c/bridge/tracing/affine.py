"""Sums of products with a coefficient for each feature: what elementwise nodes add up to.

A spike is 0 or 1, and so is its square.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Term = tuple["Atom", ...]
"""A product; the empty one is 1."""

EXACT = 1e-12
"""What is less, relative to what it was made of, is a rounding of float64."""
MOST = 48
"""Terms of a sum that is still looked at."""


class TooManyTermsError(Exception):
    """A sum that is no neuron's."""


@dataclass(frozen=True, order=True)
class Atom:
    """What is not taken apart.

    Attributes:
        kind: 'memory', 'input', 'spike', or 'other': a function of something.
        number: which of its kind.
    """

    kind: str
    number: int


class Sum:
    """Terms, each with a coefficient that broadcasts over the features."""

    def __init__(self, terms: Mapping[Term, Any] | None = None) -> None:
        self.terms: dict[Term, Array] = {
            term: np.asarray(c, np.float64) for term, c in (terms or {}).items() if np.any(c)
        }
        if len(self.terms) > MOST:
            raise TooManyTermsError

    @classmethod
    def of(cls, atom: Atom) -> Sum:
        """One atom."""
        return cls({(atom,): 1.0})

    @classmethod
    def constant(cls, number: Any) -> Sum:
        """A number, or one for each feature."""
        return cls({(): number})

    def __add__(self, other: Sum) -> Sum:
        found = dict(self.terms)
        for term, c in other.terms.items():
            if term not in found:
                found[term] = c
                continue
            total, size = found[term] + c, np.abs(found[term]) + np.abs(c)
            # What cancels leaves nothing behind.
            found[term] = np.where(np.abs(total) <= EXACT * size, 0.0, total)
        return Sum(found)

    def __sub__(self, other: Sum) -> Sum:
        return self + other.times(-1.0)

    def __mul__(self, other: Sum) -> Sum:
        found = Sum()
        for mine, a in self.terms.items():
            found += Sum({_product(mine, theirs): a * b for theirs, b in other.terms.items()})
        return found

    def times(self, factor: Any) -> Sum:
        """Each coefficient multiplied."""
        return Sum({term: c * factor for term, c in self.terms.items()})

    def coefficient(self, *atoms: Atom) -> Array:
        """Of a product of atoms; 0 where there is none."""
        return self.terms.get(tuple(sorted(atoms)), np.zeros(()))

    def atoms(self, kind: str = "") -> set[Atom]:
        """All that occur, or those of a kind."""
        found = (atom for term in self.terms for atom in term)
        return {atom for atom in found if kind in ("", atom.kind)}

    def without(self, atom: Atom) -> Sum:
        """The terms in which an atom does not occur."""
        return Sum({term: c for term, c in self.terms.items() if atom not in term})

    def equals(self, other: Sum) -> bool:
        """Whether both are the same, but for roundings of float64."""
        return not (self - other).terms

    def only(self) -> Atom | None:
        """The atom that this is, if it is one."""
        ((term, c), *rest) = self.terms.items() or [((), np.zeros(()))]
        return term[0] if not rest and len(term) == 1 and np.all(c == 1) else None

    def __iter__(self) -> Iterator[tuple[Term, Array]]:
        return iter(self.terms.items())


def _product(a: Term, b: Term) -> Term:
    joined = sorted(a + b)
    return tuple(
        atom
        for i, atom in enumerate(joined)
        if not (i and atom.kind == "spike" and joined[i - 1] == atom)
    )


def multiple(a: Sum, b: Sum) -> tuple[Array, Array] | None:
    """(factor, rest) with ``a = factor * b + rest`` for numbers; None if there are none."""
    terms = [term for term in b.terms if term]
    if not terms or set(terms) != {term for term in a.terms if term}:
        return None
    if not np.all(b.terms[terms[0]]):
        return None
    factor = a.terms[terms[0]] / b.terms[terms[0]]
    rest = a - b.times(factor)
    return (factor, rest.coefficient()) if set(rest.terms) <= {()} else None
