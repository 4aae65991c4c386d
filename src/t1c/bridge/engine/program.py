"""Nodes as one list of instructions: a loop through time, or one step of a whole graph.

What is written down once: which instruction follows which, and where values lie relative to each
other. What is looked up in every call: where weights, coefficients and states are now, so that a
parameter that was written to, replaced or moved is the one that counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..modules import MergeModule, NeuronModule, ScaleModule, SkipModule, SplitModule
from ..modules.neuron import is_own_neuron
from .fast import finite
from .kernels.choose import choose
from .kernels.instructions import ADD, AFFINE, COPY, NEURON, SCALE, WIDTH
from .kernels.rule import COEFFICIENTS, RESETS
from .kernels.scan import constants
from .kernels.surrogate import ATAN
from .kernels.threads import share
from .state_checks import States, fitting
from .watched import Watched
from .work import hooks_of, is_wrapped

if TYPE_CHECKING:
    from ..executor import GraphExecutor

NOWHERE = -1
SIDE_BY_SIDE = 32
"""Samples that are worked side by side at least, where there are so many."""
COST = 64
"""What one element of a step costs, in elements of a plain loop."""


class UnsuitedError(Exception):
    """These nodes cannot be worked as instructions; a reason that nobody needs to see."""


@dataclass(frozen=True)
class _Frame:
    """What a program keeps for one number of steps, batch size and dtype.

    Attributes:
        kernel: what carries the instructions out, imported when it is first needed.
        program: the instructions, with the options of neurons.
        places: as compiled loops take them.
        constants: zero and one.
        shapes: place -> the shape of all its steps.
        states: place -> the shape of a state variable.
        blank: place -> zeros of its shape, for states and the values of one step.
        kept: node -> the shape of its value.
        addresses: where parameters are; 0 where values will be.
        alive: tensors made of parameters, which lie there.
        watched: the parameters.
        options: those of neurons.
    """

    kernel: Callable[..., None]
    program: Any
    places: Any
    constants: Any
    shapes: dict[int, torch.Size]
    states: dict[int, torch.Size]
    blank: dict[int, Tensor]
    kept: dict[str, torch.Size]
    addresses: list[int]
    alive: list[Tensor]
    watched: Watched
    options: list[tuple[Any, ...]]


class Program:
    """Instructions for some nodes of an executor, in the order of work.

    Args:
        executor: whose plan, modules and shapes are followed.
        names: the nodes, in order.
        keep: those of them whose values are wanted.

    Raises:
        UnsuitedError: a module or shape that no instruction serves.
    """

    def __init__(
        self, executor: GraphExecutor, names: Sequence[str], keep: Collection[str]
    ) -> None:
        self.executor = executor
        self.names = tuple(names)
        self.features: list[tuple[int, ...]] = []
        self.rows: list[list[int]] = []
        self.feeds: dict[str, int] = {}
        self.modules: dict[str, nn.Module] = {}
        self.affine: list[tuple[nn.Linear, int, int, tuple[int, int]]] = []
        self.scales: list[tuple[ScaleModule, int]] = []
        self.neurons: list[tuple[str, NeuronModule, int, int, int, int]] = []
        self.place_of: dict[str, int] = {}
        plan = executor.plan
        if plan.early or any(name in plan.inputs and plan.sources[name] for name in names):
            raise UnsuitedError
        self.before = {
            name: self._place(self._shape(name)) for name in names if name in plan.remembered
        }
        for name in names:
            self._instruct(name)
        for name, place in self.before.items():
            self._add(COPY, place, self.place_of[name])
        self.kept = {name: self.place_of[name] for name in keep if name in self.place_of}
        rows = [r + [0] * (WIDTH - len(r)) for r in self.rows]
        self.program = np.array(rows, np.int64).reshape(-1, WIDTH)
        self.sizes = [math.prod(shape) for shape in self.features]
        self._lay()

    # Writing down ------------------------------------------------------------------------------

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self.executor._shape_of(name)
        if shape is None:
            raise UnsuitedError
        return shape

    def _place(self, shape: tuple[int, ...]) -> int:
        self.features.append(shape)
        return len(self.features) - 1

    def _add(self, *row: int) -> None:
        self.rows.append([*row])

    def _instruct(self, name: str) -> None:
        module = self.modules[name] = self.executor.node(name)
        x, arriving = self._arriving(name, module)
        shape = self._shape(name)
        # Types themselves: a subclass may do anything.
        if type(module) in (nn.Identity, SkipModule, nn.Dropout, nn.Flatten):
            if math.prod(arriving) != math.prod(shape):
                raise UnsuitedError
            if x in self.before.values():
                # That place is one step's, and written to at its end.
                y = self._place(shape)
                self._add(COPY, y, x)
                x = y
            self.place_of[name] = x
        elif type(module) is nn.Linear:
            if arriving != (module.in_features,) or shape != (module.out_features,):
                raise UnsuitedError
            y = self.place_of[name] = self._place(shape)
            weight = self._place((module.in_features * module.out_features,))
            given: Tensor | None = module.bias
            bias = self._place((module.out_features,)) if given is not None else NOWHERE
            self._add(AFFINE, y, x, weight, bias, module.in_features)
            self.affine.append((module, weight, bias, (module.out_features, module.in_features)))
        elif type(module) is ScaleModule:
            y = self.place_of[name] = self._place(shape)
            factor = self._place(shape)
            self._add(SCALE, y, x, factor)
            self.scales.append((module, factor))
        elif is_own_neuron(module):
            y = self.place_of[name] = self._place(shape)
            v, i, c = self._place(shape), NOWHERE, self._place((len(COEFFICIENTS),))
            if len(module.state_names) > 1:
                i = self._place(shape)
            self.neurons.append((name, module, v, i, c, len(self.rows)))
            self._add(NEURON, y, x, v, i, c)
        else:
            raise UnsuitedError

    def _arriving(self, name: str, module: nn.Module) -> tuple[int, tuple[int, ...]]:
        """Where the input of a node lies, and its shape."""
        plan = self.executor.plan
        sources = plan.sources[name]
        if not sources:
            if name not in plan.inputs and not isinstance(module, NeuronModule):
                raise UnsuitedError
            shape = self._shape(name)
            self.feeds[name] = self._place(shape)
            return self.feeds[name], shape
        if isinstance(module, MergeModule) and (
            not isinstance(module, SkipModule)
            or module.skip_type == "concatenate"
            or (module.skip_type == "passthrough" and len(sources) > 1)
        ):
            raise UnsuitedError
        places = []
        for source in sources:
            if isinstance(self.executor.node(source.name), SplitModule):
                raise UnsuitedError
            if source.back:
                places.append(self.before[source.name])
            elif source.name in self.place_of:
                places.append(self.place_of[source.name])
            else:
                if source.name not in self.feeds:
                    self.feeds[source.name] = self._place(self._shape(source.name))
                places.append(self.feeds[source.name])
        shapes = {self._shape(source.name) for source in sources}
        if len(shapes) != 1:
            raise UnsuitedError
        shape = shapes.pop()
        if len(places) == 1:
            return places[0], shape
        total = self._place(shape)
        self._add(COPY, total, places[0])
        for place in places[1:]:
            self._add(ADD, total, place)
        return total, shape

    def _lay(self) -> None:
        """Give every place that only this program sees room in one buffer."""
        outside = {*self.feeds.values(), *self.kept.values(), *self.before.values()}
        self.constant = {p for _, *places, _ in self.affine for p in places}
        self.constant |= {n[4] for n in self.neurons}
        outside |= self.constant | {p for _, p in self.scales}
        outside |= {p for n in self.neurons for p in n[2:4]}
        self.offset, total = dict[int, int](), 0
        for place, size in enumerate(self.sizes):
            if place not in outside:
                self.offset[place] = total
                total += size
        self.work = COST * sum(self.sizes[row[1]] for row in self.rows)
        modules = self.modules.values()
        self.hooks = [hooks for module in modules for hooks in hooks_of(module)]
        self.hooked = -1
        names = self.executor._children
        self.children = [(names[name], module) for name, module in self.modules.items()]
        self.owns = [(module.__dict__, module._modules) for module in modules]
        self.dropouts = [module for module in modules if isinstance(module, nn.Dropout)]
        self.feeding = {place: key for key, place in self.feeds.items()}
        self.frames: dict[tuple[Any, ...], _Frame] = {}
        layers = [(layer, name) for layer, *_ in self.affine for name in ("weight", "bias")]
        factors = [(scale, "scale") for scale, _ in self.scales]
        own = [(module, name) for _, module, *_ in self.neurons for name in module.exact]
        self.parameters: list[tuple[nn.Module, str]] = [*layers, *factors, *own]

    # Running -----------------------------------------------------------------------------------

    def current(self) -> bool:
        """Whether the modules are still the ones that were looked at."""
        now = self.executor._modules
        for child, module in self.children:  # noqa: SIM110 - every step asks
            if now[child] is not module:
                return False
        return True

    def suits(self) -> bool:
        """Whether the modules do nothing but what the instructions say."""
        # Looking at every hook takes longer than anything else; torch numbers them.
        if self.hooked != RemovableHandle.next_id:
            if any(self.hooks):
                return False
            self.hooked = RemovableHandle.next_id
        for own, parts in self.owns:
            if is_wrapped(own, parts):
                return False
        return not any(dropout.training for dropout in self.dropouts)

    def run(
        self,
        feeds: Mapping[str, Tensor],
        state: States,
        like: Tensor,
        lead: tuple[int, ...],
    ) -> tuple[dict[str, Tensor], States] | None:
        """All steps.

        Args:
            feeds: node -> what enters (*lead, *features).
            state: the state before the first step, checked for names.
            like: any input, which tells the dtype.
            lead: (T, B), or (B,) for one step.

        Returns:
            (kept values (*lead, *features), the state after the last step); None where a tensor
            is not what instructions need: of another shape or dtype, laid out otherwise in
            memory, or a weight that is not finite.
        """
        steps, batch = lead if len(lead) == 2 else (1, lead[0])
        key = (lead, like.dtype)
        frame = self.frames.get(key)
        if frame is None or not frame.watched.holds() or frame.options != self._options():
            frame = self._frame(like, lead)
            if frame is None:
                return None
            self.frames.clear()
            self.frames[key] = frame
        addresses = frame.addresses.copy()
        alive: list[Tensor] = []
        for node, place in self.feeds.items():
            x = feeds[node].contiguous()
            if x.dtype != like.dtype or not x.is_cpu:
                return None
            if x.numel() != steps * batch * self.sizes[place]:
                return None
            alive.append(x)
            addresses[place] = x.data_ptr()
        values: dict[str, Tensor] = {}
        made: dict[int, Tensor] = {}
        for name, place in self.kept.items():
            if place in self.feeding:
                values[name] = feeds[self.feeding[place]].reshape(frame.kept[name])
                continue
            if place not in made:
                blank = frame.blank.get(place)
                made[place] = (
                    like.new_empty(frame.shapes[place]) if blank is None else blank.clone()
                )
                addresses[place] = made[place].data_ptr()
            y, shape = made[place], frame.kept[name]
            values[name] = y if y.shape == shape else y.view(shape)
        after: States = {}
        for name, _, v, i, _, _ in self.neurons:
            given, shape = state.get(name), frame.states[v]
            own: tuple[Tensor, ...]
            count = 1 if i < 0 else 2
            if given is None:
                own = tuple([frame.blank[v].clone() for _ in range(count)])
            else:
                own = tuple([fresh(name, part, like, shape) for part in given[:count]])
            addresses[v] = own[-1].data_ptr()
            if i >= 0:
                addresses[i] = own[0].data_ptr()
            after[name] = own
        for name, place in self.before.items():
            kept = state.get(name)
            sent = None if kept is None else kept[-1]
            now = fresh(name, sent, like, frame.states[place])
            addresses[place] = now.data_ptr()
            after[name] = (*after.get(name, ()), now)
        share(
            frame.kernel,
            batch,
            self.work * steps * batch,
            steps,
            frame.program,
            np.array(addresses, np.int64),
            frame.places,
            frame.constants,
            multiple=SIDE_BY_SIDE,
        )
        return values, after

    def _options(self) -> list[tuple[Any, ...]]:
        return [(m.reset_mode, m.reset_delay, m.fires_at, m.spikes) for _, m, *_ in self.neurons]

    def _frame(self, like: Tensor, lead: tuple[int, ...]) -> _Frame | None:
        """What follows from steps, batch, dtype and parameters; None as for ``run``."""
        from .kernels.numba_program import carry_out

        # Before anything is made of the parameters: what is written meanwhile is then seen.
        watched, options = Watched(self.parameters), self._options()
        addresses, alive, program = [0] * len(self.sizes), list[Tensor](), self.program.copy()
        for layer, weight, bias, sizes in self.affine:
            if not _serves(layer, like.dtype, bias >= 0, sizes):
                return None
            addresses[weight] = layer.weight.data_ptr()
            if bias >= 0:
                addresses[bias] = layer.bias.data_ptr()
        for scale, place in self.scales:
            features = self.features[place]
            laid = scale.over(features).expand(features).contiguous()
            if laid.dtype != like.dtype:
                return None
            alive.append(laid)
            addresses[place] = laid.data_ptr()
        for _, module, v, _, c, row in self.neurons:
            shape, rule = torch.Size(self.features[v]), module.rule
            laid = module.laid(shape, like.dtype, like.device).laid(shape, False)
            alive.append(laid)
            addresses[c] = laid.data_ptr()
            reset = RESETS.index(rule.reset)
            program[row, 6:11] = laid.shape[1], reset, rule.delay, rule.strict, rule.synapse
            program[row, 11:] = rule.many, rule.bounded
        batch = lead[-1]
        places = np.zeros((len(self.sizes), 3), np.int64)
        places[:, 1] = [0 if place in self.constant else n for place, n in enumerate(self.sizes)]
        places[:, 2] = [self.offset.get(place, NOWHERE) for place in range(len(self.sizes))]
        moving = {*self.feeds.values(), *self.kept.values()}
        for place in moving:
            places[place, 0] = batch * self.sizes[place]
        still = [*self.before.values(), *(p for n in self.neurons for p in n[2:4] if p >= 0)]
        states = {p: torch.Size((batch, *self.features[p])) for p in still}
        # A copy of a tensor is there sooner than a new one.
        blank = {p: like.new_zeros(shape) for p, shape in states.items()}
        if len(lead) == 1:
            blank |= {p: like.new_zeros((*lead, *self.features[p])) for p in self.kept.values()}
        return _Frame(
            carry_out,
            program,
            places,
            constants(ATAN, like.dtype),
            {p: torch.Size((*lead, *self.features[p])) for p in moving},
            states,
            blank,
            {n: torch.Size((*lead, *self._shape(n))) for n in self.kept},
            addresses,
            alive,
            watched,
            options,
        )


def _serves(layer: nn.Linear, dtype: torch.dtype, has_bias: bool, sizes: tuple[int, int]) -> bool:
    """Whether parameters may be read as instructions do: all there, in that order, finite.

    ``sizes``: out and in, as the instructions have them; a layer's own may have changed since.
    """
    parameters = layer._parameters
    w, b = parameters.get("weight"), parameters.get("bias")
    if w is None or w.dtype != dtype or w.shape != sizes:
        return False
    if not w.t().is_contiguous() or (b is not None) != has_bias or not finite(w):
        return False
    return b is None or (b.dtype == dtype and b.shape == sizes[:1] and b.is_contiguous())


def fresh(name: str, v: Tensor | None, like: Tensor, shape: torch.Size) -> Tensor:
    """A copy of a state variable of node ``name``, to be worked in place; zeros for None.

    Raises:
        InputError: it has another shape or dtype than it would have after a step.
    """
    if v is None:
        return like.new_zeros(shape)
    if v.shape != shape or v.dtype != like.dtype or not v.is_cpu:
        v = fitting(name, v, like.new_empty(1).expand(shape), shape)
    return v.clone() if v.is_contiguous() else v.contiguous()


def program_for(
    executor: GraphExecutor, names: tuple[str, ...], keep: tuple[str, ...], like: Tensor
) -> Program | None:
    """The program for some nodes, if instructions serve them and nobody wants a gradient.

    Kept with the executor: writing it down takes longer than a step.
    """
    if (
        torch.compiler.is_compiling()
        or torch.is_grad_enabled()
        or executor.events is False
        or torch.is_autocast_enabled("cpu")
        or choose(like, executor.kernels) != "numba"
    ):
        return None
    # The first tells stretches of the same length apart: they do not overlap.
    key = (names[0], len(names), keep)
    kept = executor.programs.get(key)
    if key not in executor.programs or (kept is not None and not kept.current()):
        try:
            kept = Program(executor, names, keep)
        except UnsuitedError:
            kept = None
        executor.programs[key] = kept
    return kept if kept is not None and kept.suits() else None
