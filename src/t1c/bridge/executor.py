"""GraphExecutor: runs modules along edges, one step or a whole sequence, over one Plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import InputError, Problem, ShapeError, UnsupportedError
from t1c.ir.node import as_shape
from t1c.ir.topology import Edge

from .names import module_names
from .plan import Plan, make_plan
from .primitives.merge import SkipModule
from .registry import node_of
from .stateful import State, StatefulModule
from .work import can_fold, feeds_back, is_stateless, rest, state_arguments, trial

States = dict[str, State]
Values = dict[str, Tensor]


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
        )
        self._input_shapes = {
            name: as_shape(node.shape) for name, node in nodes.items() if isinstance(node, ir.Input)
        }
        self._children: dict[str, str] = {}
        # Last, so that no node takes the name of an attribute.
        self._children = module_names(modules, self)
        for name, module in modules.items():
            _refuse_hidden_state(name, module)
            self.add_module(self._children[name], module)

    def node(self, name: str) -> nn.Module:
        """The module of a node, by the node's own name (which may hold dots)."""
        return cast(nn.Module, self._modules[self._children[name]])

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
        values, state = self._step(self._inputs(x, 1), self._states(state))
        output = self._outputs(values)
        return (output, state) if self.return_state else output

    def _step(self, inputs: Values, state: States) -> tuple[Values, States]:
        values: Values = {}
        after: States = {}
        for name in self.plan.order:
            self._work(name, inputs, values, state, after)
        for name in self.plan.remembered:
            after[name] = (*after.get(name, ()), values[name])
        return values, after

    def _work(
        self, name: str, inputs: Values, values: Values, state: States, after: States
    ) -> None:
        """One step of one node: its inputs from ``values``, its output and state into them."""
        x = inputs[name] if name in inputs else self._arriving(name, values, state, inputs)
        values[name], own = _step_of(name, self.node(name), x, self._state_of(name, state, x))
        if own is not None:
            after[name] = own

    def _arriving(self, name: str, values: Values, state: States, inputs: Values) -> Tensor:
        sources = self.plan.sources[name]
        if not sources:
            return self._nothing(name, inputs, 0)
        sent = [
            self._sent_before(s.name, values, state, inputs) if s.back else values[s.name]
            for s in sources
        ]
        return self._merge(name, sent)

    def _merge(self, name: str, sent: list[Tensor]) -> Tensor:
        module = self.node(name)
        try:
            if isinstance(module, SkipModule):
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

    def _sent_before(self, name: str, values: Values, state: States, inputs: Values) -> Tensor:
        """What a node sent in the step before; zeros before the first."""
        shape = self._shape_of(name)
        if name in state:
            like = next(iter(inputs.values()))
            v = _for_batch(name, state[name][-1], like)
            if v.dtype != like.dtype or (shape is not None and v.shape[1:] != shape):
                raise _misfit(name, v, like)
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
                sent[first], _ = _step_of(first, self.node(first), x, ())
                waiting.remove(first)
        return sent[name]

    def _nothing(self, name: str, inputs: Values, lead: int) -> Tensor:
        """Zeros for a neuron that no edge leads to: it runs on its leak."""
        shape = self._shape_of(name)
        if shape is None:
            raise InputError(Problem("no edge leads to it", "an input", where=f"node {name!r}"))
        return self._zeros(inputs, shape, lead)

    def _zeros(self, inputs: Values, shape: tuple[int, ...], lead: int = 0) -> Tensor:
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
        if isinstance(self.node(name), StatefulModule):
            return tuple(_fitting(name, v, x) for v in own)
        # A module of the user's may keep what it likes; what is laid out as its input has a batch.
        return tuple(_for_batch(name, v, x) if v.ndim == x.ndim else v for v in own)

    # A sequence ----------------------------------------------------------------------------

    def run(self, xs: Any, state: States | None = None) -> tuple[Any, States]:
        """All steps of a sequence: the same numbers as stepping, in fewer calls.

        Modules without state take all steps in one batch, a neuron outside any cycle scans over
        time, and only cycles are stepped.

        Args:
            xs: tensor (T, B, *shape); a dict by Input name, or a tuple in their order, where there
                are several.
            state: what an earlier call returned; None or {} is rest.

        Returns:
            (outputs, state): the outputs of all steps (T, B, ...), a dict by Output name where
            there are several, and the final state.

        Raises:
            InputError: an input or a state has the wrong shape, dtype or name.
        """
        values, state = self._run(self._inputs(xs, 2), self._states(state))
        return self._outputs(values), state

    def trace(self, xs: Any, state: States | None = None) -> Values:
        """What every node sends at every step of a sequence: name -> (T, B, ...)."""
        return self._run(self._inputs(xs, 2), self._states(state))[0]

    def _run(self, inputs: Values, state: States) -> tuple[Values, States]:
        values: Values = {}
        after: States = {}
        for stage in self.plan.stages:
            name = stage.names[0]
            if stage.loop or not self._whole(name, inputs, values, state, after):
                self._stepwise(stage.names, inputs, values, state, after)
        return values, after

    def _whole(
        self, name: str, inputs: Values, values: Values, state: States, after: States
    ) -> bool:
        """All steps of one node at once; False if the module must be stepped."""
        module = self.node(name)
        scans = isinstance(module, StatefulModule)
        if not scans and not can_fold(module):
            return False
        if name in inputs:
            xs = inputs[name]
        elif not self.plan.sources[name]:
            xs = self._nothing(name, inputs, 1)
        else:
            sent = [values[s.name] for s in self.plan.sources[name]]
            folded = self._merge(name, [v.flatten(0, 1) for v in sent])
            xs = folded.reshape(*sent[0].shape[:2], *folded.shape[1:])
        if isinstance(module, StatefulModule):
            like = xs[0] if len(xs) else xs.new_zeros(xs.shape[1:])
            own = self._state_of(name, state, like)
            values[name], after[name] = module.scan(xs, own or module.initial_state(like))
        else:
            y = module(xs.flatten(0, 1))
            values[name] = y.reshape(*xs.shape[:2], *y.shape[1:])
        return True

    def _stepwise(
        self,
        names: tuple[str, ...],
        inputs: Values,
        values: Values,
        state: States,
        after: States,
    ) -> None:
        """The nodes of a loop, or a module of the user's, one step after another."""
        like = next(iter(inputs.values()))
        steps = len(like)
        before = {s.name for n in names for s in self.plan.sources[n]} - set(names)
        own = {name: state[name] for name in names if name in state}
        sent: dict[str, list[Tensor]] = {name: [] for name in names}
        # With no step to take, one is taken on zeros to learn the shapes, and thrown away.
        with nullcontext() if steps else trial(map(self.node, names)):
            for t in range(max(steps, 1)):
                now = {n: _at(values[n], t) for n in before}
                here = {n: _at(v, t) for n, v in inputs.items()}
                following: States = {}
                for name in names:
                    self._work(name, here, now, own, following)
                    sent[name].append(now[name])
                for name in names:
                    if name in self.plan.remembered:
                        following[name] = (*following.get(name, ()), now[name])
                if steps:
                    own = following
        for name in names:
            stacked = torch.stack(sent[name])
            values[name] = stacked if steps else stacked[:0]
        after.update(own)

    # What goes in and out ----------------------------------------------------------------------

    def _outputs(self, values: Values) -> Any:
        if len(self.plan.outputs) == 1:
            return values[self.plan.outputs[0]]
        return {name: values[name] for name in self.plan.outputs}

    def _states(self, state: Any) -> States:
        """The caller's state, checked for names and types."""
        if state is None:
            return {}
        if not isinstance(state, Mapping):
            raise InputError(
                Problem(f"a {type(state).__name__}", "None, or a dict by node name", where="state")
            )
        problems = [p for name, own in state.items() if (p := self._state_problem(name, own))]
        if problems:
            raise InputError(problems)
        return dict(state)

    def _state_problem(self, name: str, own: Any) -> Problem | None:
        where = f"state of node {name!r}"
        if name not in self._children or not self._has_state(name):
            keepers = [n for n in self._children if self._has_state(n)]
            return Problem(
                "it has no state" if name in self._children else "there is no such node",
                f"state of {keepers} only" if keepers else "no state",
                "Pass on the state that an earlier call returned.",
                where,
            )
        if not isinstance(own, tuple) or not all(isinstance(v, Tensor) for v in own):
            kinds = f" of {', '.join(type(v).__name__ for v in own)}" * isinstance(own, tuple)
            expected = "a tuple of tensors, one per state variable"
            return Problem(f"a {type(own).__name__}{kinds}", expected, where=where)
        module, sent = self.node(name), ["what it sent"] * (name in self.plan.remembered)
        names = [*module.state_names, *sent] if isinstance(module, StatefulModule) else sent
        fits = (
            len(own) == len(names) if isinstance(module, StatefulModule) else len(own) >= len(names)
        )
        if fits:
            return None
        return Problem(f"{len(own)} tensors", f"{len(names)}: {', '.join(names)}", where=where)

    def _has_state(self, name: str) -> bool:
        return name in self.plan.remembered or not is_stateless(self.node(name))

    def _inputs(self, x: Any, lead: int) -> Values:
        """The caller's tensors by Input name, checked; ``lead`` counts time and batch."""
        names = self.plan.inputs
        if isinstance(x, Mapping):
            given = dict(x)
        elif isinstance(x, tuple | list):
            given = dict(zip(names, x, strict=False)) if len(x) == len(names) else {}
        else:
            given = {names[0]: x} if len(names) == 1 else {}
        if set(given) != set(names):
            found = (
                f"inputs {sorted(map(str, x))}"
                if isinstance(x, Mapping)
                else f"a {type(x).__name__}"
                + (f" of {len(x)}" if isinstance(x, tuple | list) else "")
            )
            raise InputError(
                Problem(
                    found,
                    f"a tensor for each of {list(names)}",
                    "Pass a dict by name, or a tuple in this order.",
                )
            )
        dtype = next((p.dtype for p in self.parameters() if p.is_floating_point()), None)
        sizes = {}
        for name in names:
            self._check_input(name, given[name], lead, dtype)
            sizes[name] = tuple(given[name].shape[:lead])
        if len(set(sizes.values())) > 1:
            raise InputError(
                Problem(f"inputs of different batch or time sizes: {sizes}", "the same for all")
            )
        return {name: given[name] for name in names}

    def _check_input(self, name: str, x: Any, lead: int, dtype: torch.dtype | None) -> None:
        where = f"input {name!r}"
        if not isinstance(x, Tensor):
            remedy = "Use torch.from_numpy(x)." if type(x).__module__ == "numpy" else ""
            raise InputError(Problem(f"a {type(x).__name__}", "a tensor", remedy, where))
        if not x.is_floating_point() or (dtype is not None and x.dtype != dtype):
            wanted = str(dtype or torch.get_default_dtype()).removeprefix("torch.")
            raise InputError(
                Problem(
                    f"dtype {str(x.dtype).removeprefix('torch.')}",
                    wanted,
                    f"Convert it with x.to(torch.{wanted}), or the executor with .to(x.dtype).",
                    where,
                )
            )
        shape = self._input_shapes.get(name)
        found = tuple(x.shape)
        form = "(T, B, *shape)" if lead == 2 else "(B, *shape)"
        if len(found) < lead or (shape is not None and found[lead:] != shape):
            wanted = f"{form} with shape {shape}" if shape is not None else form
            remedy = ""
            if shape is not None and found[-len(shape) or len(found) :] == shape:
                extra = len(found) - len(shape) - lead
                if extra == -1 and lead == 2:
                    remedy = "Add the batch with x.unsqueeze(1), or the time with x.unsqueeze(0)."
                elif extra == -1:
                    remedy = "Add a batch dimension with x.unsqueeze(-1 - len(shape))."
                    remedy = remedy.replace("-1 - len(shape)", str(-1 - len(shape)))
                elif extra == 1 and lead == 1:
                    remedy = "For a sequence (T, B, *shape) call executor.run(xs)."
            raise InputError(Problem(f"shape {found}", wanted, remedy, where))


def _at(values: Tensor, t: int) -> Tensor:
    """One step of a sequence; zeros of the right shape where the sequence has no steps."""
    return values[t] if len(values) else values.new_zeros(values.shape[1:])


def _joins(module: nn.Module) -> bool:
    return isinstance(module, SkipModule) and module.skip_type == "concatenate"


def _step_of(name: str, module: nn.Module, x: Tensor, own: State) -> tuple[Tensor, State | None]:
    """One step of a module: its output, and its new state if it has any."""
    if isinstance(module, StatefulModule):
        return module.step(x, own or module.initial_state(x))
    if is_stateless(module):
        return module(x), None
    if not own:
        rest(module)
    result = module(x, *own)
    rest(module)
    if not isinstance(result, tuple):
        return result, None
    taken = state_arguments(module)
    if taken is not None and len(taken) != len(result) - 1:
        kind = type(module).__name__
        raise UnsupportedError(
            Problem(
                f"{kind} returns {len(result) - 1} state variables and takes {len(taken)} "
                f"({', '.join(taken)})",
                "the same ones in the same order, because what it returns is passed back",
                f"Wrap it: forward(x, *state) -> (output, *state). ({kind} may count its output.)",
                f"node {name!r}",
            )
        )
    return result[0], result[1:]


def _fitting(name: str, v: Tensor, x: Tensor) -> Tensor:
    """A state variable, if it fits what arrives."""
    v = _for_batch(name, v, x)
    if v.shape == x.shape and v.dtype == x.dtype:
        return v
    raise _misfit(name, v, x)


def _for_batch(name: str, v: Tensor, x: Tensor) -> Tensor:
    """A state variable for the batch of ``x``; a state of batch 1 serves every sample."""
    if v.shape[:1] == x.shape[:1]:
        return v
    if v.shape[:1] == (1,):
        return v.expand(len(x), *v.shape[1:])
    raise _misfit(name, v, x)


def _misfit(name: str, v: Tensor, x: Tensor) -> InputError:
    return InputError(
        Problem(
            f"a state of shape {tuple(v.shape)} and dtype {v.dtype} for an input of shape "
            f"{tuple(x.shape)} and dtype {x.dtype}",
            "the same batch size, shape and dtype",
            "Start from rest with state=None, or keep the batch size.",
            f"node {name!r}",
        )
    )


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
