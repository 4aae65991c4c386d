"""torch.einsum: sums, products and permutations of feature axes, named by letters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from t1c import ir

from ...modules.exporting import Shape, array, refuse
from ...modules.linear import NO_BIAS
from .. import axes
from ..drawing import Signal
from ..equation import equation_of
from ..record import Value
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


@dataclass(frozen=True)
class _Term:
    """A signal, and a letter for each of its feature axes."""

    signal: Signal
    letters: str


@rule("einsum")
def _einsum(b: Bench) -> Signal:
    values, equation = b.call.inputs, equation_of(b.call)
    if len(values) > 2:
        raise refuse(
            f"an einsum of {len(values)} operands", "one or two", "Write it as several products."
        )
    sums = _Sums(b, equation.operands, equation.result)
    if len(values) == 1:
        return sums.finished(sums.term(0, ""))
    constant = [place for place, value in enumerate(values) if value.constant]
    if not constant:
        return sums.product(sums.term(0, equation.operands[1]), sums.term(1, equation.operands[0]))
    (place,) = constant
    other = 1 - place
    return sums.weighted(
        sums.term(other, equation.operands[place]), equation.operands[place], values[place]
    )


class _Sums:
    """One einsum.

    Args:
        b: the call.
        operands: the letters of each operand.
        result: the letters of the result.
    """

    def __init__(self, b: Bench, operands: tuple[str, ...], result: str) -> None:
        self._b, self._operands = b, operands
        self._sizes: dict[str, int] = {}
        lead: set[str] = set()
        for letters, value in zip(operands, b.call.inputs, strict=True):
            for place, letter in enumerate(letters):
                self._sizes[letter] = value.shape[place]
                if axes.is_lead(b.dims(value)[place]):
                    lead.add(letter)
                    if letter not in result:
                        b.feature_axis(value, place)
        self._lead = lead
        self._result = "".join(letter for letter in result if letter not in lead)

    def term(self, place: int, other: str) -> _Term:
        """An operand, summed over the axes that are in it alone."""
        value = self._b.call.inputs[place]
        letters = "".join(c for c in self._operands[place] if c not in self._lead)
        signal = self._b.signal(value)
        gone = [c for c in letters if c not in self._result and c not in other]
        if gone:
            kept = "".join(c for c in letters if c not in gone)
            places = tuple(letters.index(c) for c in gone)
            node = ir.Reduce("sum", places, not kept)
            shape = self._shape(kept) if kept else (1,) * len(letters)
            signal = self._b.reshaped(
                self._b.emit(node, signal, features=shape), self._shape(kept) or (1,)
            )
            letters = kept
        return _Term(signal, letters)

    def finished(self, term: _Term) -> Signal:
        """A term in the order of the result."""
        return self._b.reshaped(self._arranged(term, *self._result), self._b.out())

    def weighted(self, x: _Term, letters: str, weight: Value) -> Signal:
        """The product with a constant: a Scale, a Linear, or one for each of several groups."""
        b = self._b
        if self._lead & set(letters):
            raise refuse(
                "a constant that differs from step to step or from sample to sample",
                "one that is the same for all",
            )
        numbers = weight.tensor.detach()
        alone = [i for i, c in enumerate(letters) if c not in x.letters and c not in self._result]
        if alone:
            numbers = numbers.sum(alone)
            letters = "".join(c for i, c in enumerate(letters) if i not in alone)
        each = "".join(c for c in x.letters if c in letters and c in self._result)
        over = "".join(c for c in x.letters if c in letters and c not in self._result)
        new = "".join(c for c in letters if c not in x.letters)
        kept = "".join(c for c in x.letters if c not in letters)
        if not over and not new:
            laid = _permuted(numbers, letters, each)
            shape = tuple(self._sizes[c] if c in each else 1 for c in x.letters) or (1,)
            # The letters of ``each`` come in the order of x.
            scale = array(laid).reshape(shape)
            features, out_of = x.signal.features, {"scale": weight}
            scaled = b.emit(ir.Scale(scale), x.signal, features=features, out_of=out_of)
            return self.finished(_Term(scaled, x.letters))
        groups, outputs, inputs = (math.prod(self._shape(part)) for part in (each, new, over))
        matrix = array(_permuted(numbers, letters, each + new + over))
        out_of = {"weight": weight}
        if not each:
            lines = self._arranged(x, *kept, over)
            node: ir.Node = ir.Linear(matrix.reshape(outputs, inputs))
            made = b.emit(node, lines, features=(*self._shape(kept), outputs), out_of=out_of)
            return self.finished(self._apart(made, kept + new))
        lines = self._arranged(x, each + over, kept)
        kernel = matrix.reshape(groups * outputs, inputs, 1)
        zeros = np.zeros(len(kernel), kernel.dtype)
        node = ir.Conv1d(kernel, zeros, groups=groups, metadata=NO_BIAS)
        features = (groups * outputs, math.prod(self._shape(kept)))
        made = b.emit(node, lines, features=features, out_of=out_of)
        return self.finished(self._apart(made, each + new + kept))

    def product(self, x: _Term, y: _Term) -> Signal:
        """The product of two values: element by element, outer, or of matrices."""
        b = self._b
        each = "".join(c for c in x.letters if c in y.letters and c in self._result)
        over = "".join(c for c in x.letters if c in y.letters and c not in self._result)
        rows = "".join(c for c in x.letters if c not in y.letters)
        columns = "".join(c for c in y.letters if c not in x.letters)
        groups = self._shape(each)
        many, few = (math.prod(self._shape(part)) for part in (rows, columns))
        if over:
            left, right = (
                self._arranged(x, *each, rows, over),
                self._arranged(y, *each, over, columns),
            )
            made = b.emit(ir.MatMul(), *b.apart(left, right), features=(*groups, many, few))
        else:
            left, right = self._arranged(x, *each, rows, ""), self._arranged(y, *each, "", columns)
            made = b.emit(
                ir.Binary("multiply"), *b.apart(left, right), features=(*groups, many, few)
            )
        return self.finished(self._apart(made, each + rows + columns))

    def _shape(self, letters: str) -> Shape:
        return tuple(self._sizes[c] for c in letters)

    def _arranged(self, term: _Term, *groups: str) -> Signal:
        """A term with an axis for each group of letters, in this order; none: of size 1."""
        b, order = self._b, "".join(groups)
        signal = term.signal
        if order != term.letters:
            signal = b.reshaped(signal, self._shape(term.letters))
            node = ir.Transpose(tuple(term.letters.index(c) for c in order))
            signal = b.emit(node, signal, features=self._shape(order))
        return b.reshaped(signal, tuple(math.prod(self._shape(g)) for g in groups) or (1,))

    def _apart(self, signal: Signal, letters: str) -> _Term:
        """A signal with an axis for each letter."""
        return _Term(self._b.reshaped(signal, self._shape(letters) or (1,)), letters)


def _permuted(numbers: Tensor, letters: str, order: str) -> Tensor:
    return numbers.permute([letters.index(c) for c in order]).contiguous()
