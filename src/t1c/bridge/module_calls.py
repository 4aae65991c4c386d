"""Calls of modules: which are one node, and whose state they go on from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import Problem, T1CError, UnsupportedError

from .executor import GraphExecutor
from .exporting import Fragment, hidden_states, known_type, module_to_node, rest_of
from .ledger import Ledger
from .operations import features
from .over_time import run_step
from .place import here
from .record import (
    Call,
    Entry,
    Fixed,
    Sent,
    StateOf,
    Value,
    as_data,
    describe,
    tensors_in,
    version_of,
)
from .stateful import StatefulModule

Convert = Callable[[nn.Module], "ir.Node | Fragment | None"]


class ModuleCalls(Ledger):
    """The part of a trace that notes modules.

    Args:
        model: what runs.
        convert: the user's own choice of node for a module; None leaves it to the default.
    """

    def __init__(self, model: nn.Module, convert: Convert) -> None:
        super().__init__(model)
        self._convert = convert
        self._fragments: dict[Any, tuple[Any, Fragment | Problem]] = {}
        self._chosen: dict[int, ir.Node | Fragment | None] = {}
        self._continued: set[Call] = set()

    def module_called(
        self, run: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any
    ) -> Any:
        """Run a module, and note it if it is one node."""
        if self._inside:
            return run(module, *args, **kwargs)
        path = self._paths.get(id(module), type(module).__name__.lower())
        if self._choice(module) is None and known_type(module) is None:
            if isinstance(module, GraphExecutor):
                raise self._refusal(
                    f"module {path!r} is a GraphExecutor inside of a model",
                    "modules whose calls show their state",
                    "Export the executor itself, and nest its graph as a node of another.",
                )
            if isinstance(module, torch.jit.ScriptModule):
                raise self._refusal(
                    f"module {path!r} is compiled by torch.jit, which hides what it does",
                    "a module as it was before torch.jit",
                    "Export the model before it is scripted or traced, or pass custom_map.",
                )
            self._scope.append(path)
            try:
                return run_step(run, module, args, kwargs)
            finally:
                self._scope.pop()
        given = next(iter([*args, *kwargs.values()]), None)
        if not isinstance(given, Tensor):
            return run(module, *args, **kwargs)
        return self._quietly(self._leaf_called, run, module, path, given, args, kwargs)

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
        value = self.value(x)
        names = hidden_states(module)
        stateful = isinstance(module, StatefulModule) or bool(names)
        states = _states(module, names, args, kwargs)
        if not stateful and states:
            stateful = any(not self._constant(s) for _, s in states)
        previous, problem = self._previous(module, states)
        version = version_of(x)
        result = run_step(run, module, args, kwargs)
        if result is x and version_of(x) == version:
            # A tensor is known by its identity: what a module passes on gets one of its own.
            result = x.view_as(x)
        call = self._leaf(module, path, value, x, result, stateful, previous, problem)
        self._know_result(call, module, names, result)
        return result

    def _leaf(
        self,
        module: nn.Module,
        path: str,
        value: Value,
        x: Tensor,
        result: Any,
        stateful: bool,
        previous: Call | None,
        problem: Problem | None,
    ) -> Call:
        """The call of a module that is one node."""
        output = next(tensors_in(result))
        found, stamp = self._fragment(module, features(x), features(output))
        made = found if isinstance(found, Fragment) else None
        problem = found if isinstance(found, Problem) else problem
        # Spikes are the same numbers in every dtype, and snnTorch's are always float32.
        both = output.is_floating_point() and x.is_floating_point() and not stateful
        if both and output.dtype != x.dtype:
            problem = problem or self._problem(
                f"module {path!r} turns {x.dtype} into {output.dtype}",
                "one dtype in the whole model",
                "Export outside of torch.autocast, and convert the model with .to(dtype).",
            )
        alone = made is not None and not stateful and len(made.nodes) == 1
        ports = made.nodes[""].port_count if made is not None and alone else 1
        call = Call(
            len(self.calls),
            path or type(module).__name__.lower(),
            here(),
            (as_data(value),),
            made if problem is None else None,
            problem,
            module,
            stamp,
            previous,
            previous.step + 1 if previous else 0,
            stateful or (isinstance(result, tuple) and ports == 1),
            ports,
        )
        if previous is not None:
            self._continued.add(previous)
        self.calls.append(call)
        return call

    def _know_result(
        self, call: Call, module: nn.Module, names: Sequence[str], result: Any
    ) -> None:
        parts = list(result) if isinstance(result, tuple | list) else [result]
        if call.ports > 1:
            for port, part in enumerate(parts):
                self._know(part, Sent(call, port))
            return
        # A stateful module gives its output first; what follows, or is kept, is its state.
        states = [getattr(module, name) for name in names] or list(tensors_in(parts[1:]))
        for index, state in enumerate(states):
            self._know(state, StateOf(call, index, index == len(states) - 1))
        call.echoes = tuple(index for index, state in enumerate(states) if state is parts[0])
        self._know(parts[0], Sent(call))

    def _previous(
        self, module: nn.Module, states: Sequence[tuple[int, Any]]
    ) -> tuple[Call | None, Problem | None]:
        """The call that a module goes on from, or why it cannot be told."""
        found: set[Call | None] = set()
        for index, state in states:
            value = self.value(state) if isinstance(state, Tensor) else None
            if (
                isinstance(value, StateOf | Sent)
                and value.call.module is module
                and index in (value.call.echoes if isinstance(value, Sent) else (value.index,))
            ):
                found.add(value.call)
            elif isinstance(value, Entry) and value.time is None:
                self.state_inputs.add(value.number)
                found.add(None)
            elif value is None or isinstance(value, Fixed):
                rest = rest_of(module, index)
                if not bool((torch.as_tensor(state) == torch.as_tensor(rest)).all()):
                    resting = "zero" if isinstance(rest, int) else f"its rest, {rest}"
                    return None, self._problem(
                        f"a neuron starts from a state that is not {resting}",
                        "a state that starts at rest, as that of a graph does",
                        "Start from None, or from what init_leaky(), reset_mem() or reset() give.",
                    )
                found.add(None)
            else:
                return None, self._problem(
                    f"a neuron is given {describe(value)} as its state",
                    "the state that the same neuron returned in the step before",
                    "Hand each neuron its own state back.",
                )
        if len(found) > 1:
            return None, self._problem(
                "a neuron is given states of different steps",
                "all of its state from one step",
                "Hand back every state variable of the same step.",
            )
        previous = next(iter(found), None)
        if previous is not None and previous in self._continued:
            return None, self._problem(
                f"a neuron goes on a second time from step {previous.step}",
                "one next step for each step",
                "Keep a state for each use of the neuron.",
            )
        return previous, None

    def _choice(self, module: nn.Module) -> ir.Node | Fragment | None:
        """What the user's map makes of a module."""
        if id(module) not in self._chosen:
            self._chosen[id(module)] = self._quietly(self._convert, module)
        return self._chosen[id(module)]

    def _fragment(
        self, module: nn.Module, entering: tuple[int, ...], leaving: tuple[int, ...]
    ) -> tuple[Fragment | Problem, Any]:
        hidden = hidden_states(module)
        stamp = tuple(
            (id(t), version_of(t))
            for name, t in [*module.named_parameters(), *module.named_buffers()]
            if name not in hidden
        )
        key = (id(module), entering, leaving)
        if key not in self._fragments or self._fragments[key][0] != stamp:
            made: Fragment | Problem
            try:
                _refuse_hooks(module)
                chosen = self._choice(module)
                found = chosen or self._quietly(module_to_node, module, entering, leaving)
                made = Fragment({"": found}) if isinstance(found, ir.Node) else found
            except T1CError as error:
                path = self._paths.get(id(module), "")
                where = f"module {path!r} ({type(module).__name__}, called at {here()})"
                made = error.problems[0].at(where)
            self._fragments[key] = stamp, made
        return self._fragments[key][1], stamp


def _refuse_hooks(module: nn.Module) -> None:
    """Refuse hooks that may change what a module computes; those that make its weight are torch's.

    Raises:
        UnsupportedError: there is one.
    """
    before = module._forward_pre_hooks.values()
    foreign = [h for h in before if not type(h).__module__.startswith("torch.nn.utils.")]
    if foreign or module._forward_hooks:
        raise UnsupportedError(
            Problem(
                "a forward hook, which may change what the module computes",
                "a module without hooks",
                "Remove the hook before the export.",
            )
        )


def _states(
    module: nn.Module, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[tuple[int, Any]]:
    """The state variables that a module is about to go on from, by their place among them."""
    if not names:
        return list(enumerate(tensors_in([*args[1:], *kwargs.values()])))
    given = dict(zip(names, args[1:], strict=False)) | dict(kwargs)
    found = []
    for index, name in enumerate(names):
        state = given.get(name)
        state = getattr(module, name) if state is None else state
        # SpikingJelly's states are numbers before the first step.
        if isinstance(state, Tensor | float):
            found.append((index, state))
    return found
