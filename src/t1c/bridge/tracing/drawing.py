"""A graph being drawn: nodes without names yet, and what flows between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from t1c import ir

from ..modules.exporting import Fragment, Shape
from ..modules.tied import with_constants
from .record import Call, Value


@dataclass(eq=False)
class Spot:
    """What a call is in the graph: one node, or a few with their own edges.

    Attributes:
        fragment: the nodes.
        inputs: what flows into it, in order.
        label: what it is called after.
        call: where it comes from.
        own: it is the module ``call`` is about, whose name it takes.
        memory: a Delay of one step from zeros, which a loop through a neuron may spare.
        held: the attribute that a module of the model holds it in, with the module's path.
        home: the module among whose nodes it is named; None: the one around ``call``.
        recognised: a neuron that the model has written out in operations.
        parameters: field -> the parameter of the model that it is.
    """

    fragment: Fragment
    inputs: list[Signal]
    label: str
    call: Call | None = None
    own: bool = False
    memory: bool = False
    held: str = ""
    home: str | None = None
    recognised: bool = False
    parameters: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def node(self) -> ir.Node:
        """The node, or the main one."""
        return self.fragment.nodes[""]


@dataclass(frozen=True, eq=False)
class Signal:
    """What a spot sends.

    Attributes:
        spot: where it comes from.
        port: which of several outputs.
        features: its shape without time and batch.
        membrane: it is a neuron's membrane, and not its spikes.
    """

    spot: Spot
    features: Shape
    port: int = 0
    membrane: bool = False


@dataclass
class Drawing:
    """The spots so far.

    Attributes:
        spots: in the order of their making.
    """

    spots: list[Spot] = field(default_factory=list)

    def emit(
        self,
        node: ir.Node | Fragment,
        *inputs: Signal,
        features: Shape,
        label: str = "",
        call: Call | None = None,
        own: bool = False,
        of: Mapping[str, Value] | None = None,
        out_of: Mapping[str, Value] | None = None,
    ) -> Signal:
        """A new node, and what it sends.

        Args:
            node: the node; where it is not a module's own, those of its fields alone train whose
                numbers are said to be of a value that does.
            inputs: what flows into it.
            features: of what it sends.
            label: what it is called after; its primitive if empty.
            call: where it comes from.
            own: it is the module that ``call`` is about.
            of: field -> the value whose numbers it has.
            out_of: field -> a value that its numbers are worked out of.
        """
        parameters: dict[str, Tensor] = {}
        if isinstance(node, ir.Node) and not own:
            of, out_of = of or {}, out_of or {}
            trained = {name for name, value in (*of.items(), *out_of.items()) if value.trains}
            node = with_constants(node, trained)
            parameters = {name: value.tensor for name, value in of.items() if name in trained}
        fragment = Fragment({"": node}) if isinstance(node, ir.Node) else node
        spot = Spot(
            *(fragment, list(inputs), label or _label(fragment.nodes[""]), call, own),
            parameters=parameters,
        )
        self.spots.append(spot)
        return Signal(spot, features)

    def constant(
        self, numbers: np.ndarray, like: Signal, call: Call | None, value: Value | None = None
    ) -> Signal:
        """A signal that is the same at every step: nothing of ``like``, and the numbers added."""
        nothing = self.emit(
            ir.Clip(np.zeros(1, numbers.dtype), np.zeros(1, numbers.dtype)),
            like,
            features=like.features,
            call=call,
        )
        of = {} if value is None else {"shift": value}
        if not (numbers.any() or (value is not None and value.trains)):
            return nothing
        return self.emit(ir.Shift(numbers), nothing, features=like.features, call=call, of=of)

    def first_step(self, like: Signal, call: Call | None) -> Signal:
        """1 at the first step, 0 at all others."""
        nothing = self.emit(
            ir.Clip(np.zeros(1), np.zeros(1)), like, features=like.features, call=call
        )
        once = ir.Delay(np.array(1), initial=np.ones(1))
        return self.emit(once, nothing, features=like.features, label="first", call=call)


def _label(node: ir.Node) -> str:
    return node.primitive.lower()
