"""GraphExecutor: runs modules along edges, one step or a whole sequence, over one Plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import InputError, Problem, ShapeError, UnsupportedError
from t1c.ir.node import as_shape
from t1c.ir.topology import Edge

from .blocks import inner_nodes
from .chunks import cut, is_stream
from .collect import Collect, collector_for
from .explain import Explanation, explain
from .fast import DENSE_BYTES, Choice, in_order_of_torch
from .input_checks import Inputs, check_inputs, check_sequence
from .kernels.choose import check_name
from .modules import MergeModule, NeuronModule, SplitModule
from .names import module_names
from .plan import Plan, make_plan
from .program import Program, program_for
from .progress import shown
from .registry import node_of
from .sequence import Values, at_port, run_chunk, step_as_chunk
from .state_checks import Kept, States, check_states, fitting, for_batch, kept_by, misfit
from .stateful import State, StatefulModule
from .stretch import Together
from .tied import staying_one
from .work import emits_early, feeds_back, is_plain, is_stateless, step_of, trial

CHUNK_BYTES, TRAINING_BYTES = 20 * 2**20, 5 * 2**20
"""What the largest value of a chunk may take: less in training, where what a chunk leaves behind
counts and not its own size, and where a convolution is worked densely, whose maps should stay in
the cache."""


class GraphExecutor(nn.Module):
    """A graph as a PyTorch module.

    Several edges into a Skip merge by its skip_type; several edges into any other module are
    added. A cycle costs one time step, by the rule in ``t1c.ir.topology``. Modules from a user's
    map that return ``(output, *state)`` are stateful: their state is passed back positionally at
    the next step.

    State is never kept inside: ``state`` maps node names to tuples with one tensor per state
    variable, ``(v,)`` for a LIF; a node whose output runs back in time has that output as a
    further, last entry. None and ``{}`` both mean rest, and the caller's dict is never changed.

    Args:
        modules: node name -> module. Those without incoming edges take the input (or those
            imported from an ``ir.Input``, if there are any), those without outgoing edges give the
            output (or those imported from an ``ir.Output``).
        edges: (source, target) pairs; their order is the order of inputs.
        return_state: whether a call returns ``(output, state)`` or the output alone. Without it
            every call starts from rest, so that a network with state forgets: use ``run`` for
            sequences.
        output_nodes: the nodes whose values are returned, in the place of those above.
        feedback: the edges that run back in time; decided by the rule if None.

    Raises:
        GraphError: the edges do not fit the modules, or a cycle cannot be cut.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> modules = {"input": nn.Identity(), "fc": nn.Linear(10, 10), "output": nn.Identity()}
        >>> executor = GraphExecutor(modules, [("input", "fc"), ("fc", "output")])
        >>> executor(torch.zeros(2, 10)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        edges: Sequence[Edge],
        return_state: bool = False,
        *,
        output_nodes: Iterable[str] | None = None,
        feedback: Iterable[Edge] | None = None,
    ) -> None:
        super().__init__()
        self.return_state = return_state
        self.edges = [(source, target) for source, target in edges]
        self.graph: ir.Graph | None = None
        self.events: bool | None = None
        self.choices: dict[str, Choice] = {}
        self.programs: dict[tuple[Any, ...], Program | None] = {}
        self.blocks: dict[str, tuple[str, ...]] = {}
        self.stretches: dict[tuple[Any, ...], Together] = {}
        self.last_chunk: int | None = None
        nodes = {name: node_of(module) for name, module in modules.items()}
        self._nodes = nodes
        self.plan: Plan = make_plan(
            list(modules),
            self.edges,
            neurons=[name for name, module in modules.items() if feeds_back(module)],
            inputs=[name for name, node in nodes.items() if isinstance(node, ir.Input)],
            outputs=[name for name, node in nodes.items() if isinstance(node, ir.Output)],
            returned=output_nodes,
            feedback=feedback,
            delays=[name for name, module in modules.items() if emits_early(module)],
            several=[name for name, module in modules.items() if isinstance(module, SplitModule)],
        )
        self._input_shapes = {
            name: as_shape(node.shape) for name, node in nodes.items() if isinstance(node, ir.Input)
        }
        self._holds = {
            name: node.hold
            for name, node in nodes.items()
            if isinstance(node, ir.Input) and node.hold is not None
        }
        self._final = frozenset(
            name for name, node in nodes.items() if isinstance(node, ir.Output) and node.final
        )
        self._children: dict[str, str] = {}
        self._kept: dict[str, Kept] = {}
        self._kernels: str | None = None
        self._first: tuple[nn.Module, str] | None = None
        # Last, so that no node takes the name of an attribute.
        self._children = module_names(modules, self)
        for name, module in modules.items():
            _refuse_hidden_state(name, module)
            self.add_module(self._children[name], module)
            remembered = name in self.plan.remembered
            if remembered or not is_stateless(module):
                self._kept[name] = kept_by(module, remembered)

    def node(self, name: str) -> nn.Module:
        """The module of a node, by the node's own name (which may hold dots)."""
        return cast(nn.Module, self._modules[self._children[name]])

    def _by_name(self) -> Iterator[tuple[str, nn.Module]]:
        return ((name, self.node(name)) for name in self._children)

    @property
    def kernels(self) -> str | None:
        """Which kernels are used: 'torch', 'numba', 'triton'; None: whatever is fastest."""
        return self._kernels

    @kernels.setter
    def kernels(self, wanted: str | None) -> None:
        check_name(wanted)
        self._kernels = wanted
        for name in self._children:
            module = self.node(name)
            if isinstance(module, NeuronModule):
                module.kernels = wanted

    def neuron(self, name: str) -> NeuronModule:
        """The module of a node that is a neuron."""
        return cast(NeuronModule, self.node(name))

    def _stateful(self, name: str) -> StatefulModule:
        return cast(StatefulModule, self.node(name))

    def __getstate__(self) -> dict[str, Any]:
        # A copy looks at its own modules anew.
        return {**self.__dict__, "programs": {}, "stretches": {}, "_first": None}

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        # Parameters change in place, and nothing counts it.
        self.programs, self.stretches, self._first = {}, {}, None
        with staying_one(self):
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    # One step ------------------------------------------------------------------------------

    def forward(self, x: Any, state: States | None = None) -> Any:
        """One time step.

        Args:
            x: tensor (B, *shape); a dict by Input name, or a tuple in their order, where there
                are several.
            state: what an earlier step returned; None or {} is rest.

        Returns:
            The output (a dict by Output name where there are several), or with ``return_state``
            the pair (output, state).

        Raises:
            InputError: an input or a state has the wrong shape, dtype or name.
        """
        inputs, state = self._inputs(x, 1), self._states(state)
        values, state = (
            step_as_chunk(self, inputs, state)
            or self._step_whole(inputs, state)
            or self._step(inputs, state)
        )
        output = self._outputs(values)
        return (output, state) if self.return_state else output

    def _step_whole(self, inputs: Inputs, state: States) -> tuple[Values, States] | None:
        """One step as one list of instructions, if they serve this graph."""
        like = next(iter(inputs.values()))
        program = program_for(self, self.plan.order, self.plan.outputs, like)
        if program is None:
            return None
        feeds = {
            n: inputs[n] if n in inputs else self._nothing(n, inputs, 0) for n in program.feeds
        }
        return program.run(feeds, state, like, like.shape[:1])

    def _step(self, inputs: Inputs, state: States) -> tuple[Values, States]:
        values: Values = {}
        after: States = {}
        self._step_nodes(self.plan.order, inputs, values, state, after)
        return values, after

    def _step_nodes(
        self,
        names: Sequence[str],
        inputs: Inputs,
        values: Values,
        state: States,
        after: States,
    ) -> None:
        """One step of some nodes: inputs from ``values``, outputs and states into them."""
        for name in names:
            if name in self.plan.early:
                values[name] = self._stateful(name).emit(self._line(name, inputs, state))
                continue
            x = inputs[name] if name in inputs else self._arriving(name, values, state, inputs)
            module = self.node(name)
            own: State | None = None
            if self.events is False and type(module) is nn.Linear and is_plain(module):
                values[name] = in_order_of_torch(module, x)
            else:
                values[name], own = step_of(name, module, x, self._state_of(name, state, x))
            if own is not None:
                after[name] = own
        for name in names:
            if name in self.plan.early:
                x = self._arriving(name, values, state, inputs)
                after[name] = self._stateful(name).absorb(x, self._line(name, inputs, state))
        for name in names:
            if name in self.plan.remembered:
                after[name] = (*after.get(name, ()), values[name])

    def _line(self, name: str, inputs: Inputs, state: States) -> State:
        """The state of a node that sends before it receives."""
        like = self._nothing(name, inputs, 0)
        return self._state_of(name, state, like) or self._stateful(name).initial_state(like)

    def _arriving(self, name: str, values: Values, state: States, inputs: Inputs) -> Tensor:
        sources = self.plan.sources[name]
        if not sources:
            return self._nothing(name, inputs, 0)
        sent = [
            self._sent_before(s.name, values, state, inputs) if s.back else at_port(values, s)
            for s in sources
        ]
        return self._merge(name, sent)

    def _merge(self, name: str, sent: list[Tensor]) -> Tensor:
        module = self.node(name)
        try:
            if isinstance(module, MergeModule):
                return module.merge(sent)
            total = sent[0]
            for value in sent[1:]:
                if value.shape != total.shape:
                    raise ShapeError(
                        Problem(
                            f"inputs of unequal shapes {tuple(total.shape)} and "
                            f"{tuple(value.shape)} are added",
                            "equal shapes",
                            "Join them with a Skip of type 'concatenate', or make them equal.",
                        )
                    )
                total = total + value
        except ShapeError as error:
            sources = ", ".join(repr(s.name) for s in self.plan.sources[name])
            where = f"node {name!r} (fed by {sources})"
            raise ShapeError([p.at(where) for p in error.problems]) from None
        return total

    def _sent_before(self, name: str, values: Values, state: States, inputs: Inputs) -> Tensor:
        """What a node sent in the step before; zeros before the first."""
        shape = self._shape_of(name)
        if name in state:
            like = next(iter(inputs.values()))
            v = for_batch(name, state[name][-1], like)
            if v.dtype != like.dtype or (shape is not None and v.shape[1:] != shape):
                raise misfit(name, v, like)
            return v
        if shape is not None:
            return self._zeros(inputs, shape)
        return torch.zeros_like(self._like(name, values))

    def _like(self, name: str, values: Values) -> Tensor:
        """What a node in a loop sends if nothing runs back: it has the right shape.

        Only executors built by hand need it, in their first step. Like a graph's inference of
        shapes, it lets a node whose inputs are added go by those of them that are known.
        """
        sent = dict(values)
        waiting = list(next(stage.names for stage in self.plan.stages if name in stage.names))
        modules = [self.node(n) for n in waiting]
        with trial(modules):
            while name in waiting:
                sources = {n: [s.name for s in self.plan.sources[n]] for n in waiting}
                known = {n: [sent[s] for s in sources[n] if s in sent] for n in waiting}
                ready = [n for n in waiting if len(known[n]) == len(sources[n])]
                ready += [n for n in waiting if known[n] and not _joins(self.node(n))]
                if not ready:
                    raise InputError(
                        Problem(
                            "the shape of what it sends cannot be told before the first step",
                            "a loop whose shapes follow from what reaches it",
                            "Import the network from a graph, or pass a first state.",
                            f"node {name!r}",
                        )
                    )
                first = ready[0]
                x = self._merge(first, known[first])
                sent[first], _ = step_of(first, self.node(first), x, ())
                waiting.remove(first)
        like: Tensor = sent[name]
        return like

    def _nothing(self, name: str, inputs: Inputs, lead: int) -> Tensor:
        """Zeros for a neuron that no edge leads to: it runs on its leak."""
        shape = self._shape_of(name)
        if shape is None:
            raise InputError(Problem("no edge leads to it", "an input", where=f"node {name!r}"))
        return self._zeros(inputs, shape, lead)

    def _zeros(self, inputs: Inputs, shape: tuple[int, ...], lead: int = 0) -> Tensor:
        like = next(iter(inputs.values()))
        return like.new_zeros(*like.shape[: lead + 1], *shape)

    def _shape_of(self, name: str) -> tuple[int, ...] | None:
        node = self._nodes[name]
        return None if node is None else as_shape((node.output_type or {}).get("output"))

    def _state_of(self, name: str, state: States, x: Tensor) -> State:
        """A node's own state variables, checked against what arrives."""
        if name not in state:
            return ()
        own = state[name][:-1] if name in self.plan.remembered else state[name]
        module = self.node(name)
        if isinstance(module, StatefulModule):
            shapes = module.state_shapes(x.shape)
            return tuple(fitting(name, v, x, shape) for v, shape in zip(own, shapes, strict=True))
        # A module of the user's may keep what it likes; what is laid out as its input has a batch.
        return tuple(for_batch(name, v, x) if v.ndim == x.ndim else v for v in own)

    # A sequence ----------------------------------------------------------------------------

    def run(
        self,
        xs: Any,
        state: States | None = None,
        *,
        steps: int | None = None,
        collect: Collect | None = None,
        chunk: int | None = None,
        truncate: bool = False,
        progress: bool | Callable[[int, int | None], None] = False,
    ) -> tuple[Any, States]:
        """All steps of a sequence: the same numbers as stepping, in fewer calls.

        Time is worked in chunks that fit the caches, so that memory stays bounded. Within a chunk,
        modules without state take all steps in one batch, a neuron outside any cycle scans over
        time, and only cycles are stepped.

        Args:
            xs: tensor (T, B, *shape); a dict by Input name, or a tuple in their order, where there
                are several. An Input with ``hold`` also takes one value (B, *shape), which it holds
                for so many steps, or for those of the sequences beside it. Or an iterator over
                single steps (B, *shape), in any of these forms, of which only one chunk is held at
                a time.
            state: what an earlier call returned; None or {} is rest.
            steps: how many steps values are held for, in the place of ``hold``.
            collect: what becomes of the outputs: 'stack' returns those of all steps (T, B, ...),
                'sum' their sum over time (B, ...), 'last' those of the last step; a function is
                called for each chunk with the number of its first step and the outputs
                (chunk, B, ...), of which nothing is kept. None is 'last' for an Output with
                ``final`` and 'stack' for others.
            chunk: steps worked at once; None: as many as fit the caches.
            truncate: let no gradient pass from one chunk to the one before: truncated
                backpropagation through time, if ``collect`` calls ``backward``.
            progress: show a bar, or call a function with the steps done and their number (None
                where an iterator does not tell).

        Returns:
            (outputs, state): what ``collect`` says, a dict by Output name where there are several,
            None for a function; and the state after the last step.

        Raises:
            InputError: an input or a state has the wrong shape, dtype or name.

        Example:
            >>> executor = GraphExecutor({"fc": nn.Linear(3, 2)}, [])
            >>> counts, _ = executor.run((torch.ones(4, 3) for _ in range(10)), collect="sum")
            >>> counts.shape
            torch.Size([4, 2])
        """
        collector = collector_for(collect, self.plan.outputs, self._final)
        state = self._states(state)
        self.choices, self.blocks, self.last_chunk = {}, {}, None
        if steps is not None and is_stream(xs):
            raise InputError(
                Problem(f"steps={steps} beside an iterator", "an iterator that ends by itself")
            )

        def check(x: Any, lead: int) -> Inputs:
            return self._sequence(x, steps) if lead == 2 else self._inputs(x, 1)

        pieces = cut(xs, check, self._chunk_of, chunk)
        with shown(progress, pieces.steps) as advance:
            for first, inputs in pieces:
                if truncate and first:
                    state = {name: tuple(v.detach() for v in own) for name, own in state.items()}
                values, state = run_chunk(self, inputs, state, self.plan.outputs)
                self.last_chunk = self.last_chunk or len(next(iter(inputs.values())))
                collector.take(first, pieces.steps, self._outputs(values))
                advance(len(next(iter(inputs.values()))))
        return collector.result(), state

    def trace(self, xs: Any, state: States | None = None) -> Values:
        """What every node sends at every step of a sequence: name -> (T, B, ...)."""
        inputs = self._sequence(xs)
        return run_chunk(self, inputs, self._states(state), self.plan.order)[0]

    def explain(self) -> Explanation:
        """How the nodes were worked in the last ``run``, and why: print it.

        Returns:
            One row for each node, or for those worked as one: densities of its inputs, and the
            density below which adding up active inputs is faster on this machine.
        """
        return explain(self)

    def _chunk_of(self, inputs: Inputs) -> int:
        """How many steps fit the caches, by the largest value that a node sends."""
        like = next(iter(inputs.values()))
        inner = inner_nodes(self, like)
        names = [name for name in self.plan.order if name not in inner]
        shapes = [shape for name in names if (shape := self._shape_of(name)) is not None]
        own = [tuple(x.shape[2:]) for x in inputs.values()]
        largest = max(math.prod(shape) for shape in [*shapes, *own])
        dense = any(isinstance(m, nn.Conv2d) and n not in inner for n, m in self._by_name())
        training = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        room = DENSE_BYTES if dense else TRAINING_BYTES if training else CHUNK_BYTES
        return max(1, room // max(1, largest * like.shape[1] * like.element_size()))

    # What goes in and out ----------------------------------------------------------------------

    def _outputs(self, values: Values) -> Any:
        if len(self.plan.outputs) == 1:
            return values[self.plan.outputs[0]]
        return {name: values[name] for name in self.plan.outputs}

    def _states(self, state: Any) -> States:
        """The caller's state, checked for names and types."""
        states = check_states(state, self._children, self._kept)
        if torch.is_grad_enabled():
            # Autograd refuses tensors that were made in inference mode; copies serve.
            for name, own in states.items():
                states[name] = tuple(v.clone() if v.is_inference() else v for v in own)
        return states

    def _inputs(self, x: Any, lead: int) -> Inputs:
        """The caller's tensors by Input name, checked; ``lead`` counts time and batch."""
        dtype = self._dtype()
        if type(x) is Tensor and len(self.plan.inputs) == 1:
            name = self.plan.inputs[0]
            shape = self._input_shapes.get(name)
            if x.dtype == dtype and shape is not None and tuple(x.shape[lead:]) == shape:
                return {name: x}
        shapes = {name: self._input_shapes.get(name) for name in self.plan.inputs}
        return check_inputs(x, shapes, lead, dtype)

    def _sequence(self, xs: Any, steps: int | None = None) -> Inputs:
        """The caller's tensors of all steps by Input name, (T, B, *shape), checked."""
        if not self._holds and steps is None:
            return self._inputs(xs, 2)
        shapes = {name: self._input_shapes.get(name) for name in self.plan.inputs}
        return check_sequence(xs, shapes, self._holds, steps, self._dtype())

    def _dtype(self) -> torch.dtype | None:
        """Of the first floating-point parameter, which is where it was, if it is still there."""
        if self._first is not None:
            module, name = self._first
            parameter = module._parameters.get(name)
            if parameter is not None:
                return parameter.dtype
        for module in self.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None and parameter.is_floating_point():
                    self.__dict__["_first"] = module, name
                    return parameter.dtype
        return None


def _joins(module: nn.Module) -> bool:
    return isinstance(module, MergeModule) and module.joins


def _refuse_hidden_state(name: str, module: nn.Module) -> None:
    for inner in module.modules():
        if getattr(inner, "init_hidden", False) is True:
            raise UnsupportedError(
                Problem(
                    f"{type(inner).__name__} hides its state (init_hidden=True)",
                    "a module that returns (output, *state)",
                    "Make it with init_hidden=False: a hidden state leaks from call to call.",
                    f"node {name!r}",
                )
            )
