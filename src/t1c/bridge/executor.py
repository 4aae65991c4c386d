"""GraphExecutor: a network as a module. What callers pass is checked here, and handed down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, overload

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import InputError, Problem, UnsupportedError
from t1c.ir.table import html_table
from t1c.ir.topology import Edge

from .engine.arrays import as_tensors
from .engine.borders import Borders
from .engine.chunk_size import Fitting
from .engine.chunks import cut, is_stream
from .engine.collect import Collect, collector_for
from .engine.explain import Explanation, explain
from .engine.input_checks import Inputs
from .engine.kernels.choose import check_name
from .engine.named_states import NamedStates, single_of
from .engine.network import Network, kept_of, plan_of, shapes_of
from .engine.ordered import refuse_disorder
from .engine.plan import Plan
from .engine.progress import shown
from .engine.recomputed import Twice
from .engine.recording import Recording
from .engine.sequence import run_chunk, run_pieces, step_as_chunk
from .engine.spans import gathering, refuse_parts
from .engine.state_checks import States, check_states
from .engine.step import step
from .engine.values import Values, outputs_of
from .modules import NeuronModule
from .modules.normalization import norms_of
from .modules.registry import is_default, node_of
from .modules.tied import staying_one
from .names import module_names
from .ranks import handing_over, is_beside, refuse_sharded, refusing_gradients


class GraphExecutor(nn.Module):
    """A graph as a PyTorch module.

    Several edges into a Skip merge by its skip_type; several edges into any other module are
    added. A cycle costs one time step, by the rule in ``t1c.ir.topology``. Modules from a user's
    map that return ``(output, *state)`` are stateful: their state is passed back positionally at
    the next step.

    State is never kept inside: ``state`` maps node names to tuples with one tensor per state
    variable, ``(v,)`` for a LIF; a node whose output runs back in time has that output as a
    further, last entry. None and ``{}`` both mean rest, and the caller's dict is never changed.
    The node ``v`` of a nested graph ``lif`` is ``lif/v``, and ``state["lif"]`` gives all of its
    variables by name.

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
        self.frozen_norms = False
        self._single = single_of(modules.items())
        nodes = {name: node_of(module) for name, module in modules.items()}
        plan = plan_of(modules, nodes, self.edges, output_nodes, feedback)
        kept = kept_of(modules, plan)
        self.borders = Borders(plan.inputs, nodes)
        self._children: dict[str, str] = {}
        self.network = Network(plan, self._children, self._modules, shapes_of(nodes), kept)
        # Last, so that no node takes the name of an attribute.
        self._children.update(module_names(modules, self))
        for name, module in modules.items():
            if not is_default(module):
                _refuse_hidden_state(name, module)
            self.add_module(self._children[name], module)

    @property
    def plan(self) -> Plan:
        """The order of work."""
        return self.network.plan

    def node(self, name: str) -> nn.Module:
        """The module of a node, by the node's own name (which may hold dots)."""
        return self.network.node(name)

    @property
    def events(self) -> bool | None:
        """Whether layers add up active inputs only; None: where that is faster."""
        return self.network.events

    @events.setter
    def events(self, wanted: bool | None) -> None:
        if self.reproducible:
            _refuse_order_of_torch(wanted)
        self.network.events = wanted

    @property
    def reproducible(self) -> bool:
        """Whether every sum is taken in its written order; see ``ir_to_torch``."""
        return self.network.reproducible

    @reproducible.setter
    def reproducible(self, wanted: bool) -> None:
        if wanted:
            refuse_disorder(list(self.network.nodes()))
            _refuse_order_of_torch(self.events)
        self.network.reproducible = wanted
        self.network.forget()

    @property
    def kernels(self) -> str | None:
        """Which kernels are used: 'torch', 'numba', 'triton'; None: whatever is fastest."""
        return self.network.kernels

    @kernels.setter
    def kernels(self, wanted: str | None) -> None:
        check_name(wanted)
        self.network.kernels = wanted
        for _, module in self.network.nodes():
            if isinstance(module, NeuronModule) and module.kernels != wanted:
                module.kernels = wanted

    def __prepare_scriptable__(self) -> Any:
        """Refuse ``torch.jit.script``, which asks here, before it reads any code.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            Problem(
                "torch.jit.script cannot read how a network is worked",
                "torch.export, or torch.jit.trace under torch.no_grad()",
                "Use t1c.deploy.to_exported or to_onnx, which need no t1c where they run.",
            )
        )

    def _replicate_for_data_parallel(self) -> Self:
        replica: Self = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        replica.network = self.network.over(replica._modules)
        return replica

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self.network.forget()
        with staying_one(self):
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode; norms that are frozen (``batchnorm='frozen'``) stay in eval mode."""
        super().train(mode)
        if self.frozen_norms:
            for norm in norms_of(self):
                norm.eval()
        return self

    # One step ------------------------------------------------------------------------------

    def forward(
        self, x: Any, state: States | None = None, *, sequence: bool = False, **options: Any
    ) -> Any:
        """One time step; or with ``sequence`` all of them, as ``run`` takes and returns them.

        Wrappers that must see every call, such as ``DistributedDataParallel``, see ``forward``
        alone: what trains through one is ``wrapper(xs, state, sequence=True)``.

        Args:
            x: tensor (B, *shape); a dict by Input name, or a tuple in their order, where there
                are several. NumPy arrays serve too, as in ``run``. With ``sequence`` whatever
                ``run`` takes, such as (T, B, *shape).
            state: what an earlier step returned; None or {} is rest.
            sequence: work a sequence: the call is ``run``.
            options: those of ``run``, such as ``collect``; a step has none.

        Returns:
            The output (a dict by Output name where there are several), or with ``return_state``
            the pair (output, state). With ``sequence`` what ``run`` returns: (outputs, state), or
            (outputs, state, recorded).

        Raises:
            InputError: an input or a state has the wrong shape, dtype or name, or a step is given
                an option of ``run``.

        Example:
            >>> executor = GraphExecutor({"fc": nn.Linear(3, 2)}, [])
            >>> counts, state = executor(torch.ones(10, 4, 3), sequence=True, collect="sum")
            >>> counts.shape
            torch.Size([4, 2])
        """
        if sequence:
            return self.run(x, state, **options)
        _refuse_options(options)
        network = self.network
        refuse_sharded(self, network.like())
        if type(x) is not Tensor:
            x = as_tensors(x, network.like())
        inputs, state = self.borders.inputs(x, 1, network.dtype()), self._states(state)
        values, state = step_as_chunk(network, inputs, state) or step(network, inputs, state)
        output = outputs_of(network.plan, values)
        if is_beside(self):
            refusing_gradients((output, state))
        return (output, self._named(state)) if self.return_state else output

    # A sequence ----------------------------------------------------------------------------

    @overload
    def run(
        self,
        xs: Any,
        state: States | None = None,
        *,
        record: None = None,
        steps: int | None = None,
        collect: Collect | None = None,
        chunk: int | None = None,
        truncate: bool = False,
        checkpoint: bool = False,
        progress: bool | Callable[[int, int | None], None] = False,
    ) -> tuple[Any, States]: ...

    @overload
    def run(
        self,
        xs: Any,
        state: States | None = None,
        *,
        record: Iterable[str],
        steps: int | None = None,
        collect: Collect | None = None,
        chunk: int | None = None,
        truncate: bool = False,
        checkpoint: bool = False,
        progress: bool | Callable[[int, int | None], None] = False,
    ) -> tuple[Any, States, Any]: ...

    def run(
        self,
        xs: Any,
        state: States | None = None,
        *,
        record: Iterable[str] | None = None,
        steps: int | None = None,
        collect: Collect | None = None,
        chunk: int | None = None,
        truncate: bool = False,
        checkpoint: bool = False,
        progress: bool | Callable[[int, int | None], None] = False,
    ) -> tuple[Any, States] | tuple[Any, States, Any]:
        """All steps of a sequence: the same numbers as stepping, in fewer calls.

        Time is worked in chunks that fit the caches, so that memory stays bounded. Within a chunk,
        modules without state take all steps in one batch, a neuron outside any cycle scans over
        time, and only cycles are stepped.

        Args:
            xs: tensor (T, B, *shape); a dict by Input name, or a tuple in their order, where there
                are several. An Input with ``hold`` also takes one value (B, *shape), which it holds
                for so many steps, or for those of the sequences beside it; a sequence of any
                length, one step too, is taken as it is. Or an iterator over
                single steps (B, *shape), in any of these forms, of which only one chunk is held at
                a time. NumPy arrays of real numbers serve in the place of tensors: they are cast
                to the dtype of the parameters (without any, to torch's default) and moved to where
                these are. What comes back are tensors.
            state: what an earlier call returned; None or {} is rest.
            record: names of hidden nodes to return too: "lif1" is what the node sends, its spikes;
                "lif2.v" the state variable ``v`` after each step, as ``state`` holds it;
                "lif2.input" what reaches it, its inputs made one. A nested graph "lif" is its one
                output, and "lif.v" the value that its node ``v`` carries.
            steps: how many steps values are held for, in the place of ``hold``.
            collect: what becomes of the outputs, and of what is recorded: 'stack' returns those of
                all steps (T, B, ...), 'sum' their sum over time (B, ...), 'last' those of the last
                step; a function is called for each chunk with the number of its first step and the
                outputs (chunk, B, ...), and a third argument, what was recorded, if something is
                to be; nothing of it is kept. None is 'last' for an Output with ``final`` and
                'stack' for others, and for what is recorded.
            chunk: steps worked at once; None: as many as fit the caches.
            truncate: let no gradient pass from one chunk to the one before: truncated
                backpropagation through time, if ``collect`` calls ``backward``.
            checkpoint: keep nothing of a chunk for gradients but what enters it, and work each anew
                on the way back, from the last to the first: less memory, for some more time. The
                gradients are the same. Steps of an iterator are kept.
            progress: show a bar, or call a function with the steps done and their number (None
                where an iterator does not tell).

        Returns:
            (outputs, state): what ``collect`` says, a dict by Output name where there are several,
            None for a function; and the state after the last step. With ``record``
            (outputs, state, recorded): a dict by the names in ``record``, of what ``collect`` says;
            None for a function. The outputs and the state are those of a run that records nothing:
            where sums have one written order, or no rounding, to the last bit.

        Raises:
            InputError: an input or a state has the wrong shape, dtype or name, or there is nothing
                of a name to record.
            UnsupportedError: with ``checkpoint``, a module cannot be worked twice; every process
                holds a part of the parameters; or, from ``backward``, gradients would stay in one
                process of a ``DistributedDataParallel``, whose forward was not called.

        Example:
            >>> executor = GraphExecutor({"fc": nn.Linear(3, 2)}, [])
            >>> counts, _ = executor.run((torch.ones(4, 3) for _ in range(10)), collect="sum")
            >>> counts.shape
            torch.Size([4, 2])
            >>> from t1c.bridge import LIFModule
            >>> modules = {"fc": nn.Linear(3, 2), "lif": LIFModule(2.0, 1.0, 0.0, 1.0)}
            >>> executor = GraphExecutor(modules, [("fc", "lif")])
            >>> spikes, _, found = executor.run(torch.ones(10, 4, 3), record=["fc", "lif.v"])
            >>> found["lif.v"].shape
            torch.Size([10, 4, 2])
        """
        final, in_order = self.borders.final, self.network.reproducible
        refuse_sharded(self, self.network.like())
        beside = is_beside(self)
        handed = handing_over(collect, beside)
        collector = collector_for(handed, self.plan.outputs, final, in_order)
        recording = None
        if record is not None:
            names = [record] if isinstance(record, str) else list(record)
            recording = Recording(self.network, names)
        state = self._states(state)
        if steps is not None and is_stream(xs):
            raise InputError(
                Problem(f"steps={steps} beside an iterator", "an iterator that ends by itself")
            )

        def check(x: Any, lead: int) -> Inputs:
            return self._sequence(x, steps) if lead == 2 else self._inputs(x, 1)

        # What is captured as a graph is captured whole.
        twice = checkpoint and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        fitting = Fitting(self.network, twice and not is_stream(xs))
        pieces = cut(xs, check, fitting, chunk)
        refuse_parts(gathering(self.network.nodes()), pieces.steps, chunk)
        with shown(progress, pieces.steps) as advance:
            # Between these lines nothing of the caller's runs that could write to a weight.
            moment = None if progress else fitting.moment
            work = Twice(self.network).work if twice else run_chunk
            state = run_pieces(
                self.network, pieces, state, collector, truncate, advance, work, moment, recording
            )
        found: tuple[Any, ...] = collector.result(), state, collector.records()
        if beside:
            refusing_gradients(found)
        outputs, state, recorded = found
        state = self._named(state)
        return (outputs, state) if recording is None else (outputs, state, recorded)

    def trace(self, xs: Any, state: States | None = None) -> Values:
        """What every node sends at every step of a sequence: name -> (T, B, ...)."""
        refuse_sharded(self, self.network.like())
        inputs = self._sequence(xs)
        return run_chunk(self.network, inputs, self._states(state), self.plan.order)[0]

    def explain(self) -> Explanation:
        """How the nodes were worked in the last ``run``, and why: print it.

        Returns:
            One row for each node, or for those worked as one: densities of its inputs, and the
            density below which adding up active inputs is faster on this machine.
        """
        return explain(self.network)

    def _repr_html_(self) -> str:
        if self.graph is not None:
            table: str = self.graph._repr_html_()
            return table
        rows = [
            (
                name,
                type(self.node(name)).__name__,
                ", ".join(s.name + " (t-1)" * s.back for s in self.plan.sources[name]),
            )
            for name in self.plan.order
        ]
        heading = f"{type(self).__name__}: {len(rows)} nodes, {len(self.edges)} edges"
        return html_table(heading, ("node", "module", "from"), rows)

    def _named(self, state: States) -> States:
        """A state to be handed out, in which nested graphs are found under their names."""
        if self._single is None or torch.compiler.is_compiling():
            return state
        return NamedStates(state, self._single)

    # What goes in ------------------------------------------------------------------------------

    def _states(self, state: Any) -> States:
        """The caller's state, checked for names and types."""
        states = check_states(state, self._children, self.network.kept)
        if torch.is_grad_enabled():
            # Autograd refuses tensors that were made in inference mode; copies serve.
            for name, own in states.items():
                if True in map(Tensor.is_inference, own):
                    states[name] = tuple(v.clone() if v.is_inference() else v for v in own)
        return states

    def _inputs(self, x: Any, lead: int) -> Inputs:
        """The caller's tensors by Input name, checked; ``lead`` counts time and batch."""
        network = self.network
        return self.borders.inputs(as_tensors(x, network.like()), lead, network.dtype())

    def _sequence(self, xs: Any, steps: int | None = None) -> Inputs:
        """The caller's tensors of all steps by Input name, (T, B, *shape), checked."""
        network = self.network
        return self.borders.sequence(as_tensors(xs, network.like()), steps, network.dtype())


def _refuse_options(options: Mapping[str, Any]) -> None:
    if options:
        raise InputError(
            Problem(
                f"{', '.join(options)} for one step",
                "options of run, for a sequence",
                "Pass sequence=True with (T, B, *shape), or call run.",
            )
        )


def _refuse_order_of_torch(events: bool | None) -> None:
    if events is False:
        raise InputError(
            Problem(
                "events=False beside reproducible=True",
                "one of them: events=False keeps sums in torch's own order",
                field="events",
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
