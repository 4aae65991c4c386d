"""What every primitive is: a declaration of fields, a shape rule and a reference step.

A primitive is a small class::

    @register_node
    class Scale(Node):
        "y = s * x. Any shape."
        s: Array = array()

        def step(self, x, state):
            return x * self.s.astype(x.dtype), state

Its constructor with checks, the file format, equality, ``repr`` and every table follow from that.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from .errors import NodeError, Problem, ShapeError
from .fields import Array, Kind, show
from .interval import UNKNOWN, ZERO, Interval
from .metadata import Metadata, clean_metadata
from .shapes import Shape, Types, as_shape, as_types, types_of
from .values import all_finite, same_value, what_differs

N = TypeVar("N", bound="Node")
State = tuple[Array, ...]
Bounds = tuple[Interval, ...]
"""What is known of each state variable."""


@dataclasses.dataclass(eq=False, repr=False)
class Node:
    """Base of all primitives.

    Attributes:
        input_type: port name -> shape without time and batch, as an integer array. Given by hand,
            fixed by the parameters, or inferred by the graph; empty while unknown.
        output_type: the same for what leaves the node.
        metadata: free notes; they change no result.
    """

    input_type: Types | None = dataclasses.field(default=None, kw_only=True)
    output_type: Types | None = dataclasses.field(default=None, kw_only=True)
    metadata: Metadata = dataclasses.field(default_factory=dict, kw_only=True)

    kinds: ClassVar[Mapping[str, Kind]] = {}
    """Field name -> what it may hold, in the order of declaration."""
    state_names: ClassVar[tuple[str, ...]] = ()
    """The state variables that the node carries from step to step."""
    breaks_cycles: ClassVar[bool] = False
    """A cycle may be cut at this node's output: it is a neuron."""
    runs_alone: ClassVar[bool] = False
    """The node means something without an incoming edge (a neuron runs on its leak)."""
    opaque: ClassVar[bool] = False
    """What the node computes, and the shape of what it sends, is not known."""
    since: ClassVar[str] = ""
    """The format version that brought the primitive, if later than the first."""

    def __post_init__(self) -> None:
        """Check the fields against each other and settle the types known so far."""
        try:
            self.declared_input = as_types(self.input_type, "input_type", "input")
            self.declared_output = as_types(self.output_type, "output_type", "output")
            self.metadata = clean_metadata(self.metadata)
        except NodeError as error:
            raise self._placed(error) from None
        self.arrived: Shape | None = None
        """The input shape that a graph inferred, if the node is part of one."""
        self._converted = True
        self.check()
        try:
            known = self.shapes([])
        except ShapeError as error:
            raise self._placed(error, "input_type") from None
        self.input_type, self.output_type = types_of(*known)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field; what it cannot hold is refused, and the node stays as it was.

        The node's own types follow the change. Those of the nodes around it follow when the graph
        is checked again.
        """
        kind = self.kinds.get(name)
        if kind is None:
            object.__setattr__(self, name, value)
            return
        try:
            value = kind.convert(value)
        except NodeError as error:
            raise self._placed(error, name) from None
        before = self.__dict__.get(name)
        object.__setattr__(self, name, value)
        if self.__dict__.get("_converted"):
            try:
                self.check()
                known = self._known()
            except ShapeError as error:
                object.__setattr__(self, name, before)
                raise NodeError(
                    [dataclasses.replace(p.at(self.primitive), field=name) for p in error.problems]
                ) from None
            except Exception:
                object.__setattr__(self, name, before)
                raise
            self.input_type, self.output_type = types_of(*known)

    def __copy__(self: N) -> N:
        """A shallow copy, in a third of the time that ``copy`` takes to find out how."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def _known(self) -> tuple[Shape | None, tuple[Shape, ...]]:
        """The shapes after a change: from the input that a graph inferred, where it still fits."""
        alone = self.shapes([])
        if self.arrived is None:
            return alone
        try:
            return self.shapes([self.arrived])
        except ShapeError:
            return alone  # the graph may be about to change too: its check decides

    # What a primitive may define ------------------------------------------------------------

    def check(self) -> None:
        """Raise NodeError where fields that are fine alone do not fit together."""

    def natural_input(self) -> Shape | None:
        """The input shape that the parameters fix by themselves, if they do."""
        return None

    @property
    def adds_inputs(self) -> bool:
        """Several incoming edges are added."""
        return True

    def merge(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of what the incoming edges become: their sum, so all must be equal."""
        for shape in inputs[1:]:
            if shape != inputs[0]:
                raise ShapeError(
                    Problem(
                        f"inputs of unequal shapes {inputs[0]} and {shape} are added",
                        "equal shapes",
                        "Make the shapes equal, or join them with Skip(skip_type='concatenate').",
                    )
                )
        return inputs[0]

    def supposed(self, arriving: Sequence[Shape | None]) -> Sequence[Shape]:
        """What to go by where some inputs are not known yet (None), as in a loop; () for nothing.

        It may be wrong: what does not fit shows when all inputs are known.
        """
        return [shape for shape in arriving if shape is not None] if self.adds_inputs else ()

    def merge_values(self, inputs: Sequence[Array]) -> Array:
        """The reference meaning of several incoming edges: their sum, in the order of the edges."""
        total = inputs[0]
        for value in inputs[1:]:
            total = total + value
        return total

    def output_shape(self, shape: Shape) -> Shape:
        """The shape that leaves when ``shape`` arrives (neither has time or batch)."""
        return shape

    @property
    def port_count(self) -> int:
        """How many outputs the node has; the k-th edge that leaves takes the k-th of several."""
        return 1

    def port_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """The shape that leaves at each output when ``shape`` arrives."""
        return (self.output_shape(shape),)

    @property
    def emits_early(self) -> bool:
        """The output of a step never depends on the input of the same step (a Delay)."""
        return False

    def emit(self, state: State) -> Array:
        """The output of a step, before its input is known; for nodes that emit early."""
        raise NotImplementedError(f"{self.primitive} does not emit early")

    def absorb(self, x: Array, state: State) -> State:
        """The state after a step's input; for nodes that emit early."""
        raise NotImplementedError(f"{self.primitive} does not emit early")

    def initial_state(self, shape: Shape, dtype: np.dtype[Any]) -> State:
        """The state at rest for an input of ``shape``, batch included."""
        return tuple(np.zeros(shape, dtype) for _ in self.state_names)

    def step(self, x: Array, state: State) -> tuple[Any, State]:
        """One time step on ``x`` of shape (B, *features), in the dtype of ``x``.

        Returns (output, state); the output is a tuple of arrays where there are several.
        """
        raise NotImplementedError(f"{type(self).__name__} has no reference step")

    def merge_bounds(self, inputs: Sequence[Interval], shapes: Sequence[Shape]) -> Interval:
        """What is known of what the incoming edges become, as ``merge_values`` has it.

        Args:
            inputs: what is known of each, in the order of the edges.
            shapes: their feature shapes.
        """
        total = inputs[0]
        for value in inputs[1:]:
            total = total + value
        return total

    def initial_bounds(self) -> Bounds:
        """What is known of the state at rest."""
        return tuple(ZERO for _ in self.state_names)

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval | Bounds, Bounds]:
        """What is known of the output and of the state after a step, as ``step`` computes them.

        A primitive that says nothing has any real output: that is always right. Where ``emit`` and
        ``absorb`` take the place of a step, this is both.
        """
        return (UNKNOWN,) * self.port_count, (UNKNOWN,) * len(self.state_names)

    def macs(self, arriving: Sequence[Shape] = ()) -> int:
        """The multiply-accumulates of one step of one sample, done densely.

        A product that is added to others counts as one, with a zero or with padding as well. What
        multiplies without adding up, as a Scale or a neuron does, has none.

        Args:
            arriving: the shape of each input, in the order of the edges; if empty, that of the
                input which the node is known to have.

        Raises:
            ShapeError: the shapes do not fit the node, or none is known.

        Example:
            >>> import numpy as np
            >>> from t1c import ir
            >>> ir.Conv2d(np.ones((8, 3, 5, 5)), np.zeros(8)).macs([(3, 10, 10)])
            21600
        """
        return 0

    def reached_by(self, arriving: Sequence[Shape]) -> Shape:
        """What inputs of these shapes become; if there are none, the input that is known."""
        shape = self.merge(arriving) if arriving else as_shape((self.input_type or {}).get("input"))
        if shape is None:
            raise ShapeError(
                Problem("the shape of its input is not known", "shapes", where=self.primitive)
            )
        return shape

    # What follows from the declaration -------------------------------------------------------

    @property
    def primitive(self) -> str:
        """The type name that the registry and the file use."""
        return type(self).__name__

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Field name -> default, for the fields that have one."""
        return {
            f.name: cls.kinds[f.name].convert(f.default)
            for f in dataclasses.fields(cls)
            if f.name in cls.kinds and f.default is not dataclasses.MISSING
        }

    @classmethod
    def required(cls) -> set[str]:
        """The names of the fields without a default."""
        return set(cls.kinds) - set(cls.defaults())

    def values(self) -> dict[str, Any]:
        """Field name -> value, in the order of declaration."""
        return {name: getattr(self, name) for name in self.kinds}

    def parameters(self) -> dict[str, Array]:
        """The fields that hold arrays."""
        return {k: v for k, v in self.values().items() if isinstance(v, np.ndarray)}

    def replace(self: Any, **changes: Any) -> Any:
        """A copy of the node with some fields changed and checked anew."""
        given = {
            "input_type": self.declared_input or None,
            "output_type": self.declared_output or None,
            "metadata": self.metadata,
        }
        return type(self)(**{**self.values(), **given, **changes})

    def typed(self: Any, input_shape: Shape | None, ports: Sequence[Shape]) -> Any:
        """A shallow copy that carries the shapes a graph inferred for it."""
        node = copy.copy(self)
        entering, leaving = types_of(input_shape, ports)
        # Past ``__setattr__``, which asks of each whether it is a field.
        node.__dict__ |= {"arrived": input_shape, "input_type": entering, "output_type": leaving}
        return node

    def shapes(self, arriving: Sequence[Shape]) -> tuple[Shape | None, tuple[Shape, ...]]:
        """Input shape and the shape of each output, given what arrives; None and () if unknown.

        With nothing arriving they are those declared, or fixed by the parameters.

        Raises:
            ShapeError: what arrives does not fit the node, or contradicts what is declared.
        """
        declared = as_shape(self.declared_input.get("input"))
        shape = self.merge(arriving) if arriving else declared or self.natural_input()
        stated = as_shape(self.declared_output.get("output"))
        if shape is None:
            return None, () if stated is None else (stated,)
        ports = self.port_shapes(shape)
        for field, given, inferred in (
            ("input_type", declared, shape),
            ("output_type", stated, ports[0]),
        ):
            if given is not None and given != inferred:
                raise ShapeError(
                    Problem(
                        f"the declared shape {given} contradicts the inferred shape {inferred}",
                        remedy="Drop the declaration, or mend what leads to it.",
                        field=field,
                    )
                )
        return shape, ports

    def nonfinite(self) -> Iterable[Problem]:
        """One problem for each array that holds NaN or infinity."""
        for name, value in self.parameters().items():
            if not all_finite(value):
                bad = int((~np.isfinite(value)).sum())
                yield Problem(
                    f"{bad} of {value.size} values are NaN or infinite",
                    "finite numbers",
                    "Pass allow_nonfinite=True to load them all the same.",
                    field=name,
                )

    def difference(self, other: Node) -> list[str]:
        """What differs from ``other``, one line each; empty if they are equal by value."""
        if self.primitive != other.primitive:
            return [f"type: {self.primitive} and {other.primitive}"]
        found = [
            f"{name}: {what_differs(mine, getattr(other, name))}"
            for name, mine in self.values().items()
            if not same_value(mine, getattr(other, name))
        ]
        if not same_value(self.metadata, other.metadata):
            found.append(f"metadata: {show(self.metadata)} and {show(other.metadata)}")
        return found

    def equals(self, other: object) -> bool:
        """Whether ``other`` is the same primitive with equal fields and metadata."""
        return isinstance(other, Node) and not self.difference(other)

    def __repr__(self) -> str:
        parts = [f"{name}={_brief(value)}" for name, value in self.values().items()]
        return f"{self.primitive}({', '.join(parts)})"

    def _placed(self, error: NodeError | ShapeError, name: str = "") -> NodeError:
        return NodeError(
            [
                dataclasses.replace(p.at(self.primitive), field=p.field or name)
                for p in error.problems
            ]
        )

    def _error(self, field: str, found: object, expected: str = "", remedy: str = "") -> NodeError:
        """The error to raise from ``check``: field, value found, value expected, what to do."""
        text = found if isinstance(found, str) else show(found)
        return NodeError(Problem(text, expected, remedy, where=self.primitive, field=field))


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"<{'x'.join(map(str, value.shape)) or 'scalar'} {value.dtype}>"
    return repr(value)
