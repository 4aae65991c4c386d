"""Calls of modules: which are one node, and whose state they go on from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from t1c import ir
from t1c.ir.errors import Problem, T1CError, UnsupportedError

from ..engine.stateful import StatefulModule
from ..executor import GraphExecutor
from ..frameworks import unfollowed, unfused
from ..frameworks.over_time import Layout, layout_of_one
from ..modules.exporting import Fragment, hidden_states, known_type, module_to_node, rest_of
from .ledger import Ledger, describe
from .record import Call, Value, replaced, tensors_in, version_of

Convert = Callable[[nn.Module], "ir.Node | Fragment | None"]


class ModuleCalls(Ledger):
    """The part of a recorder that notes modules.

    Args:
        model: what runs.
        convert: the user's own choice of node for a module; None leaves it to the default.

    Attributes:
        state_inputs: the numbers of the inputs that were a neuron's first state.
        notes: module -> what was left out of it.
        unsaid: neuron -> why no primitive says it, so that it is followed through its own code.
    """

    def __init__(self, model: nn.Module, convert: Convert, keep: bool = True) -> None:
        super().__init__(model, keep)
        self.state_inputs: set[int] = set()
        self.notes: dict[str, str] = {}
        self.unsaid: dict[str, Problem] = {}
        self._convert = convert
        self._chosen: dict[int, ir.Node | Fragment | None] = {}
        self._followed: dict[int, bool] = {}
        self._continued: set[Call] = set()

    def module_called(
        self, run: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any
    ) -> Any:
        """Run a module, and note it if it is one node."""
        if self._inside:
            return run(module, *args, **kwargs)
        module = getattr(module, "_orig_mod", module)
        path = self._paths.get(id(module), type(module).__name__.lower())
        given = next(iter([*args, *kwargs.values()]), None)
        if isinstance(given, Tensor) and self._is_node(module, given):
            return self.quietly(self._leaf_called, run, module, path, given, args, kwargs)
        if isinstance(module, GraphExecutor):
            raise self.refusal(
                f"module {path!r} is a GraphExecutor inside of a model",
                "modules whose calls show their state",
                "Export the executor itself, and nest its graph as a node of another.",
            )
        if isinstance(module, torch.jit.ScriptModule):
            raise self.refusal(
                f"module {path!r} is compiled by torch.jit, which hides what it does",
                "a module as it was before torch.jit",
                "Export the model before it is scripted or traced, or pass custom_map.",
            )
        self._scope.append(path)
        try:
            if (problem := unfollowed(module)) is not None:
                raise UnsupportedError(problem.at(self.here()[1]))
            with unfused(module):
                return run(module, *args, **kwargs)
        finally:
            self._scope.pop()

    def follow(self, modules: Sequence[nn.Module]) -> None:
        """Follow these neurons through their own code."""
        self._followed.update(dict.fromkeys(map(id, modules), True))

    def choice(self, module: nn.Module) -> ir.Node | Fragment | None:
        """What the user's map makes of a module."""
        if id(module) not in self._chosen:
            self._chosen[id(module)] = self.quietly(self._convert, module)
        return self._chosen[id(module)]

    def _is_node(self, module: nn.Module, x: Tensor) -> bool:
        """Whether a module is one node: the user says so, or its kind does and fits.

        A neuron that no node says is followed through its own code.
        """
        if self.choice(module) is not None:
            return True
        if known_type(module) is None:
            return False
        if not _keeps_state(module):
            return True
        if id(module) not in self._followed:
            lead = 2 if layout_of_one(module) in (Layout.TIME_FIRST, Layout.BATCH_FIRST) else 1
            features = tuple(x.shape[lead:])
            try:
                self.quietly(module_to_node, module, features, features)
            except T1CError as error:
                self._followed[id(module)] = True
                self.unsaid[self._paths.get(id(module), "")] = error.problems[0]
            else:
                self._followed[id(module)] = False
        return not self._followed[id(module)]

    def _leaf_called(
        self,
        run: Callable[..., Any],
        module: nn.Module,
        path: str,
        x: Tensor,
        args: Any,
        kwargs: Any,
    ) -> Any:
        """Run a module that is one node, and note what it was given and returned."""
        names = hidden_states(module)
        neuron = _keeps_state(module)
        states = _states(module, names, args, kwargs)
        if not neuron and states:
            neuron = any(not self.value(s).constant for _, s in states if isinstance(s, Tensor))
        previous, problem = self._previous(module, states)
        value, version = self.value(x), version_of(x)
        given = replaced(tuple(args), Tensor, self.value)
        if getattr(module, "inplace", False) and value.tensor is x:
            value.tensor = x.detach().clone()
        with _disable_current_modes():
            result, meddling = _run_with_hooks(run, module, args, kwargs)
        if result is x and version_of(x) == version:
            # A tensor is known by its identity: what a module passes on gets one of its own.
            result = x.view_as(x)
        parts = list(result) if isinstance(result, tuple | list) else [result]
        output = next(tensors_in(result))
        if _foreign_hooks(module) and not meddling:
            self.notes[path] = "its forward hooks return nothing, and are left out"
        if meddling:
            problem = self.problem(
                "a forward hook that changes what the module computes",
                "a module without such hooks; one that returns nothing is left out",
                "Remove the hook before the export.",
            ).at(f"module {path!r}")
        both = output.is_floating_point() and x.is_floating_point() and not neuron
        if both and output.dtype != x.dtype:
            problem = problem or self.problem(
                f"module {path!r} turns {x.dtype} into {output.dtype}",
                "one dtype in the whole model",
                "Export outside of torch.autocast, and convert the model with .to(dtype).",
            )
        several = isinstance(result, tuple | list) and not neuron and len(parts) > 1
        ports = self._ports(module, several)
        call = self.called(
            path or type(module).__name__.lower(),
            run,
            given,
            {},
            (value,),
            module=module,
            stamp=_stamp(module, names),
            neuron=neuron or (several and not ports),
            previous=previous,
            whole=layout_of_one(module) is not None,
            problem=problem,
        )
        call.constant = value.constant and not call.neuron
        if call.neuron:
            call.chain = call.index if previous is None else previous.chain
        if previous is not None:
            self._continued.add(previous)
        self._know_results(call, module, names, parts if several and ports else [parts[0]], parts)
        return result

    def _ports(self, module: nn.Module, several: bool) -> bool:
        """Whether a module returns several outputs, and not an output and states."""
        if not several:
            return False
        chosen = self.choice(module)
        if isinstance(chosen, ir.Node):
            return chosen.port_count > 1
        return known_type(module) is not None

    def _know_results(
        self,
        call: Call,
        module: nn.Module,
        names: Sequence[str],
        outputs: Sequence[Tensor],
        parts: Sequence[Any],
    ) -> None:
        # A neuron gives its output first; what follows, or is kept, is its state.
        if call.neuron:
            kept = _kept(module, names) or list(tensors_in(parts[1:]))
            call.states = self.made(call, kept, count(-1, -1))
        call.outputs = self.made(call, outputs, count())

    def _previous(
        self, module: nn.Module, states: Sequence[tuple[int, Any]]
    ) -> tuple[Call | None, Problem | None]:
        """The call that a module goes on from, or why it cannot be told."""
        found: set[Call | None] = set()
        for index, state in states:
            value = self.value(state) if isinstance(state, Tensor) else None
            if value is not None and _state_of(value, module, index):
                found.add(value.call)
            elif value is not None and value.number is not None:
                self.state_inputs.add(value.number)
                found.add(None)
            elif value is None or value.constant:
                rest = torch.as_tensor(rest_of(module, index))
                if not bool((torch.as_tensor(state) == rest.to(_device(state))).all()):
                    resting = "zero" if not rest.any() else f"its rest, {rest_of(module, index)}"
                    return None, self.problem(
                        f"a neuron starts from a state that is not {resting}",
                        "a state that starts at rest, as that of a graph does",
                        "Start from None, or from what init_leaky(), reset_mem() or reset() give.",
                    )
                found.add(None)
            else:
                return None, self.problem(
                    f"a neuron is given {describe(value)} as its state",
                    "the state that the same neuron returned in the step before",
                    "Hand each neuron its own state back.",
                )
        if len(found) > 1:
            return None, self.problem(
                "a neuron is given states of different steps",
                "all of its state from one step",
                "Hand back every state variable of the same step.",
            )
        previous = next(iter(found), None)
        if previous is not None and previous in self._continued:
            return None, self.problem(
                "a neuron goes on a second time from one step",
                "one next step for each step",
                "Keep a state for each use of the neuron.",
            )
        return previous, None


def _keeps_state(module: nn.Module) -> bool:
    from ..modules.exporting import is_stepped

    return isinstance(module, StatefulModule) or is_stepped(module)


def _state_of(value: Value, module: nn.Module, index: int) -> bool:
    """Whether a value is that state variable of an earlier call of the module.

    An integrator's output is its state.
    """
    call = value.call
    if call is None or call.module is not module or not call.neuron:
        return False
    if value.is_state:
        return value.port == -1 - index
    return index < len(call.states) and call.states[index].tensor is value.tensor


def _device(state: Any) -> torch.device:
    return state.device if isinstance(state, Tensor) else torch.device("cpu")


def _stamp(module: nn.Module, hidden: Sequence[str]) -> Any:
    """Changes whenever the module's parameters do."""
    return tuple(
        (id(t), version_of(t))
        for name, t in [*module.named_parameters(), *module.named_buffers()]
        if name not in hidden
    )


def _foreign_hooks(module: nn.Module) -> bool:
    """Whether a module has hooks that are not torch's own, which make its weights."""
    before = module._forward_pre_hooks.values()
    foreign = [h for h in before if not type(h).__module__.startswith("torch.nn.utils.")]
    return bool(foreign or module._forward_hooks)


def _run_with_hooks(
    run: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any
) -> tuple[Any, bool]:
    """What a module returns, and whether hooks had any part in it.

    Hooks that make its weights are torch's own, and part of the module.
    """
    if not _foreign_hooks(module):
        return run(module, *args, **kwargs), False
    seen: list[tuple[list[Tensor], Any, list[tuple[Tensor, int]]]] = []
    own = module.forward

    def forward(*inner: Any, **named: Any) -> Any:
        result = own(*inner, **named)
        given = list(tensors_in((inner, named)))
        seen.append((given, result, [(t, version_of(t)) for t in [*given, *tensors_in(result)]]))
        return result

    given = list(tensors_in((tuple(args), dict(kwargs))))
    versions = [version_of(t) for t in given]
    module.__dict__["forward"] = forward
    try:
        result = run(module, *args, **kwargs)
    finally:
        del module.__dict__["forward"]
    if len(seen) != 1:
        return result, True
    arrived, returned, noted = seen[0]
    same = len(arrived) == len(given) and all(a is b for a, b in zip(arrived, given, strict=True))
    still = all(version_of(t) == v for t, v in noted)
    unread = bool(module._forward_pre_hooks) and versions != [version_of(t) for t in given]
    return result, not (same and still and returned is result) or unread


def _states(
    module: nn.Module, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[tuple[int, Any]]:
    """The state variables that a module is about to go on from, by their place among them."""
    if not names:
        return list(enumerate(tensors_in([*args[1:], *kwargs.values()])))
    given = dict(zip(names, args[1:], strict=False)) | dict(kwargs)
    states = _kept(module, names, given)
    # SpikingJelly's states are numbers before the first step.
    return [(i, state) for i, state in enumerate(states) if isinstance(state, Tensor | float)]


def _kept(
    module: nn.Module, names: Sequence[str], given: Mapping[str, Any] | None = None
) -> list[Any]:
    """The state variables of a module, unless others are given; those of a list one by one."""
    found: list[Any] = []
    for name in names:
        state = (given or {}).get(name)
        state = getattr(module, name) if state is None else state
        found += state if isinstance(state, list) else [state]
    return found
