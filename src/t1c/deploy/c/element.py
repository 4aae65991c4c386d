"""One node in a loop over elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c.ir.fields import Array
from t1c.ir.primitives.neuron import parameter_shape
from t1c.ir.shapes import Shape

from .loop import Loop
from .names import identifier
from .storage import Storage
from .term import Term


@dataclass(frozen=True)
class Element:
    """Where a node stands.

    Attributes:
        loop: over elements.
        name: of the node.
        shape: of the features that it works on.
        role: which part of it is written; see ``tasks.Task``.
    """

    loop: Loop
    name: str
    shape: Shape
    role: str

    def parameter(self, values: Array, name: str) -> Term:
        """A parameter that lies over the features as a neuron's do, cast and nothing else."""
        laid = values.reshape(parameter_shape(values.shape, self.shape))
        return self.laid(laid.astype(self.loop.dtype), name)

    def laid(self, values: Array, name: str) -> Term:
        """Numbers of the arithmetic, of a shape that broadcasts to the features."""
        return self.loop.laid(values, self.shape, f"{identifier(self.name)}_{name}")

    def state(self, name: str, size: int | None = None, rest: Any = 0.0) -> str:
        """The name of an array that lasts.

        Args:
            name: of the state variable.
            size: of how many elements; None: one for each of the loop.
            rest: what it holds at rest, one number or one for each element.
        """
        storage = self.storage(name, self.loop.size if size is None else size, rest)
        return self.loop.stage.array(storage, written=True)

    def carried(self, name: str, rest: Any = 0.0) -> Term:
        """A state variable of this element, as the step before left it."""
        return self.remembered(name, self.state(name, rest=rest), "i")

    def carry(self, name: str, term: Term) -> None:
        """Leave a state variable to the next step."""
        self.put(name, self.state(name), "i", term)

    def remembered(self, name: str, array: str, index: str) -> Term:
        """An element of a state variable."""
        form = self.loop.stage.program.state_form(self.name, name)
        return self.loop.read(array, index, whole=form)

    def put(self, name: str, array: str, index: str, term: Term) -> None:
        """Write an element of a state variable."""
        form = self.loop.stage.program.state_form(self.name, name)
        if self.loop.stage.program.ranges is not None:
            term = self.loop.formed(term, form)
        self.loop.store(array, index, term, None if form is None else form.dtype)

    def storage(self, name: str, size: int, rest: Any = 0.0) -> Storage:
        """The array of a state variable."""
        values = np.asarray(rest, self.loop.dtype)
        program = self.loop.stage.program
        return program.state(self.name, name, size, values, program.state_form(self.name, name))
