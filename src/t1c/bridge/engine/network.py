"""A network: its modules, the plan of their work, what is known of them and what was measured.

Everything in ``engine`` takes one, with values, and returns values. It knows nothing of how an
``nn.Module`` is called, or of who asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.shapes import as_shape
from t1c.ir.topology import Edge

from .choices import Choice
from .looked import Looks, Moment
from .plan import Plan, make_plan
from .program import Program
from .scanned import ScannedModule
from .spans import keeps_mask
from .state_checks import Kept, kept_by
from .stateful import StatefulModule
from .work import emits_early, feeds_back, has_several, is_stateless

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Together:
    """Nodes that are worked as one stretch.

    Attributes:
        names: in the order of work; none, if no loop serves them.
        exact: every bit of what they send is said, whatever works them.
    """

    names: tuple[str, ...] = ()
    exact: bool = True


class Network:
    """A graph at work.

    Attributes:
        plan: the order of work.
        slots: node name -> the name under which ``modules`` has its module.
        modules: the modules, looked up in every call: who replaces one replaces it here.
        shapes: node name -> the shape of what it sends, without batch; None where it is unknown.
        kept: node name -> what it carries from step to step, for the nodes that carry something.
        events: whether layers add up active inputs only; None: where that is faster.
        kernels: which are used; None: whatever is fastest.
        reproducible: whether every sum is taken in its written order.
        choices: node name -> how a layer was worked in the last run.
        blocks: node name -> the nodes that were worked with it as one.
        parts: the first node of a loop -> in how many parts each of its steps was worked.
        programs: lists of instructions by what they work; None where none serves.
        stretches: which nodes one generated loop works together.
        loops: those loops, as they were written down.
        runs: by the number of a stage, what instructions would work together from it on.
        last_chunk: how many steps the last run worked at once.
    """

    def __init__(
        self,
        plan: Plan,
        slots: Mapping[str, str],
        modules: Mapping[str, nn.Module | None],
        shapes: Mapping[str, Shape | None],
        kept: Mapping[str, Kept],
    ) -> None:
        self.plan, self.slots, self.modules = plan, slots, modules
        self.shapes, self.kept = shapes, kept
        self.events: bool | None = None
        self.kernels: str | None = None
        self.reproducible = False
        self.choices: dict[str, Choice] = {}
        self.blocks: dict[str, tuple[str, ...]] = {}
        self.parts: dict[str, int] = {}
        self.programs: dict[tuple[Any, ...], Program | None] = {}
        self.stretches: dict[tuple[Any, ...], Together] = {}
        self.loops: dict[tuple[Any, ...], Any] = {}
        self.runs: dict[tuple[Any, ...], Any] = {}
        self.last_chunk: int | None = None
        self._first: tuple[nn.Module, str] | None = None
        self._looks = Looks(modules, slots)

    def __getstate__(self) -> dict[str, Any]:
        # A copy looks at its own modules anew.
        own = {**self.__dict__, "programs": {}, "stretches": {}, "loops": {}, "runs": {}}
        own["_first"] = None
        del own["_looks"]
        return own

    def __setstate__(self, own: dict[str, Any]) -> None:
        self.__dict__.update(own)
        self._looks = Looks(self.modules, self.slots)

    def look(self, like: Tensor) -> Moment:
        """What the network is now, for whoever works ``like`` (..., *features) next."""
        return self._looks.take(like, self.events, self.kernels, self.reproducible)

    def node(self, name: str) -> nn.Module:
        """The module of a node, by the node's own name."""
        return self.modules[self.slots[name]]  # type: ignore[return-value]

    def neuron(self, name: str) -> ScannedModule:
        """The module of a node that is a neuron."""
        return cast(ScannedModule, self.node(name))

    def stateful(self, name: str) -> StatefulModule:
        """The module of a node that has a state."""
        return cast(StatefulModule, self.node(name))

    def nodes(self) -> Iterator[tuple[str, nn.Module]]:
        """All names and modules."""
        modules = cast(Mapping[str, nn.Module], self.modules)
        return ((name, modules[slot]) for name, slot in self.slots.items())

    def parameters(self) -> Iterator[Tensor]:
        """Those of all modules, one that is shared once for each."""
        return itertools.chain.from_iterable(m.parameters() for _, m in self.nodes())

    def buffers(self) -> Iterator[Tensor]:
        """Likewise."""
        return itertools.chain.from_iterable(m.buffers() for _, m in self.nodes())

    def over(self, modules: Mapping[str, nn.Module | None]) -> Network:
        """The same network at work with other modules, under the same names."""
        twin = Network(self.plan, self.slots, modules, self.shapes, self.kept)
        twin.events, twin.kernels = self.events, self.kernels
        twin.reproducible = self.reproducible
        return twin

    def dtype(self) -> torch.dtype | None:
        """Of the parameters; None where there are none."""
        like = self.like()
        return None if like is None else like.dtype

    def like(self) -> Tensor | None:
        """The first floating-point parameter, which is where it was, if it is still there."""
        if self._first is not None:
            module, name = self._first
            parameter = module._parameters.get(name)
            if parameter is not None:
                return parameter
        for _, node in self.nodes():
            for module in node.modules():
                for name, parameter in module._parameters.items():
                    if parameter is not None and parameter.is_floating_point():
                        self._first = module, name
                        return parameter
        return None

    def forget(self) -> None:
        """Look at all modules anew: their parameters changed in place, and nothing counts it."""
        self.programs, self.stretches, self.loops, self.runs = {}, {}, {}, {}
        self._first = None

    def begin(self) -> None:
        """Forget how the last run worked."""
        self.choices, self.blocks, self.parts, self.last_chunk = {}, {}, {}, None


def plan_of(
    modules: Mapping[str, nn.Module],
    nodes: Mapping[str, ir.Node | None],
    edges: Sequence[Edge],
    returned: Iterable[str] | None = None,
    feedback: Iterable[Edge] | None = None,
) -> Plan:
    """The order of work of modules along edges.

    Args:
        modules: by node name, in the order that breaks ties.
        nodes: the node that each module came from, if it was imported.
        edges: (source, target) pairs, in the order of inputs.
        returned: the nodes whose values are returned, if not the outputs.
        feedback: the edges that run back in time; decided by the rule if None.

    Raises:
        GraphError: the edges do not fit the modules, or a cycle cannot be cut.
    """
    return make_plan(
        list(modules),
        edges,
        neurons=[name for name, module in modules.items() if feeds_back(module, nodes[name])],
        inputs=[name for name, node in nodes.items() if isinstance(node, ir.Input)],
        outputs=[name for name, node in nodes.items() if isinstance(node, ir.Output)],
        returned=returned,
        feedback=feedback,
        delays=[name for name, module in modules.items() if emits_early(module)],
        several=[name for name, module in modules.items() if has_several(module)],
    )


def shapes_of(nodes: Mapping[str, ir.Node | None]) -> dict[str, Shape | None]:
    """Node name -> the shape of what it sends, as far as it is known."""
    return {
        name: None if node is None else as_shape((node.output_type or {}).get("output"))
        for name, node in nodes.items()
    }


def kept_of(modules: Mapping[str, nn.Module], plan: Plan) -> dict[str, Kept]:
    """What each node carries from step to step, for those that carry something."""
    return {
        name: kept_by(module, name in plan.remembered)
        for name, module in modules.items()
        if name in plan.remembered or keeps_mask(module) or not is_stateless(module)
    }
