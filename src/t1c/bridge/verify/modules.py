"""Any other PyTorch module as a side: called once, or step by step, and watched through hooks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from t1c.ir.errors import InputError, Problem

from ..frameworks.over_time import batch_of
from .copying import fresh
from .layouts import Arrangement, Form, Wanted
from .trace import Trace, Xs, device_of, each, tensors, watch_firing


class ModuleSide:
    """A module with a time loop of its own, or one that takes one step per call.

    Args:
        name: 'a' or 'b'.
        label: what it is, in a few words.
        model: what runs; copies of it are used.
        kind: 'sequence' (one call takes all steps) or 'step' (one call takes (B, ...) and returns
            an output, or (output, *state) with the state passed back positionally; None is rest).
        wanted: its outputs. It returns as many values, in this order, or a dict; anything behind
            them is state.
        dtype: of the arithmetic; None: as the module has it.
        arrangement: how a 'sequence' is handed over and given back; (T, B, ...) if None.
    """

    def __init__(
        self,
        name: str,
        label: str,
        model: nn.Module,
        kind: str,
        wanted: Wanted | None = None,
        dtype: torch.dtype | None = None,
        arrangement: Arrangement | None = None,
    ) -> None:
        self.name, self.label, self.kind = name, label, kind
        self.wanted = wanted or Wanted()
        self.arrangement = arrangement
        self.model = fresh(model, dtype)

    def module(self, node: str) -> nn.Module | None:
        """The submodule of that name."""
        return dict(self.model.named_modules()).get(node) if node else None

    def trace(self, xs: Xs) -> Trace:
        """Run all steps from rest; nodes are the submodules that are called once a step."""
        return self.observe(xs)[0]

    @torch.no_grad()
    def observe(self, xs: Xs) -> tuple[Trace, dict[str, int]]:
        """The trace, and how often each submodule was called.

        Raises:
            InputError: what the model returns is not of the form that its kind promises.
        """
        model = fresh(self.model)
        xs = each(xs, lambda x: x.to(device_of(model)))
        sent: dict[str, list[Tensor]] = {}
        tested: dict[str, list[Tensor]] = {}
        compared: dict[str, Tensor] = {}
        for path, part in model.named_modules():
            if path:
                threshold = watch_firing(part, tested.setdefault(path, []))
                if threshold is not None:
                    compared[path] = threshold
                _watch_output(part, path, sent)
        steps, batch = tensors(xs)[0].shape[:2]
        final = self.wanted.final
        if self.kind == "sequence":
            way = self.arrangement or self._time_first(len(tensors(xs)))
            outputs = {
                name: way.gives[name].unpack(value, steps, batch)
                for name, value in self._called(model, tensors(xs), way).items()
            }
        else:
            way = self._time_first(1)
            outputs = {
                name: value[-1:] if name in final else value
                for name, value in self._stepped(model, tensors(xs)).items()
            }
        for name, value in outputs.items():
            lead = (1 if name in final else steps, batch)
            if tuple(value.shape[:2]) != lead:
                raise InputError(
                    Problem(
                        f"output {name!r} of shape {tuple(value.shape)}, time first",
                        "(B, ...), the answer of the last step"
                        if name in final
                        else f"({steps}, {batch}, ...): an output for every step and sample",
                        where=f"{self.name} ({self.label})",
                    )
                )
        kept = {
            p: _sequence(calls, steps, batch, self.kind, way.inside) for p, calls in sent.items()
        }
        membranes = {p: _sequence(calls, steps, batch, self.kind) for p, calls in tested.items()}
        found = {p: u for p, u in membranes.items() if u is not None}
        return (
            Trace(
                outputs={name: value.cpu() for name, value in outputs.items()},
                values={p: value for p, value in kept.items() if value is not None},
                potentials=found,
                thresholds={p: compared[p].cpu() for p in found},
                last=dict.fromkeys(final, steps - 1),
                fired={p: any(bool(y.any()) for y in sent.get(p, ())) for p in compared},
            ),
            {path: len(calls) for path, calls in sent.items()},
        )

    def _time_first(self, inputs: int) -> Arrangement:
        form = Form.TIME_FIRST
        return Arrangement((form,) * inputs, dict.fromkeys(self.wanted.outputs, form), form)

    @torch.no_grad()
    def call(self, xs: Sequence[Tensor], way: Arrangement) -> dict[str, Tensor]:
        """What a copy of the model returns for sequences (T, B, ...) in one call, by name."""
        model = fresh(self.model)
        device = device_of(model)
        return self._called(model, [x.to(device) for x in xs], way)

    def _called(
        self, model: nn.Module, xs: Sequence[Tensor], way: Arrangement
    ) -> dict[str, Tensor]:
        steps, batch = xs[0].shape[:2]
        if Form.MERGED in way.takes and batch_of(model, steps * batch) != batch:
            raise InputError(
                Problem(
                    f"{steps} steps of {batch} samples",
                    f"{batch_of(model, steps * batch)} samples: its modules fix how many there are",
                    where=f"{self.name} ({self.label})",
                )
            )
        given = [form.pack(x) for form, x in zip(way.takes, xs, strict=True)]
        return self._named(model(*given))[0]

    def _stepped(self, model: nn.Module, xs: list[Tensor]) -> dict[str, Tensor]:
        missing = max(_arguments(model)[0] - len(xs), 0)
        state: tuple[Any, ...] = (None,) * missing
        steps: list[dict[str, Tensor]] = []
        for t in range(len(xs[0])):
            outputs, returned = self._named(model(*(x[t] for x in xs), *state))
            steps.append(outputs)
            state = self._state(model, len(xs), returned)
        return {name: torch.stack([step[name] for step in steps]) for name in steps[0]}

    def _state(self, model: nn.Module, taken: int, returned: tuple[Any, ...]) -> tuple[Any, ...]:
        if taken + len(returned) <= _arguments(model)[1]:
            return returned
        if any(getattr(part, "init_hidden", False) is True for part in model.modules()):
            return ()  # what it returns besides is for looking at; the neurons keep it themselves
        raise InputError(
            Problem(
                f"a step returns {len(returned)} values behind its {len(self.wanted.outputs)} "
                "outputs, and forward has no place to take them back",
                "forward(x, *state) -> (output, *state)",
                f"If it has a time loop of its own, pass {self.name}_kind='sequence'.",
                f"{self.name} ({self.label})",
            )
        )

    def _named(self, result: Any) -> tuple[dict[str, Tensor], tuple[Any, ...]]:
        """Outputs by name, and what was returned behind them."""
        rest: tuple[Any, ...] = ()
        if isinstance(result, Mapping):
            named = {str(name): value for name, value in result.items()}
        else:
            values = tuple(result) if isinstance(result, tuple | list) else (result,)
            named = dict(zip(self.wanted.outputs, values, strict=False))
            rest = values[len(self.wanted.outputs) :]
        if set(named) != set(self.wanted.outputs) or not all(
            isinstance(value, Tensor) for value in named.values()
        ):
            found = {name: type(value).__name__ for name, value in named.items()}
            raise InputError(
                Problem(
                    f"outputs {found}",
                    f"a tensor for each of {list(self.wanted.outputs)}",
                    where=f"{self.name} ({self.label})",
                )
            )
        return named, rest


def _watch_output(module: nn.Module, path: str, sent: dict[str, list[Tensor]]) -> None:
    """Note what the module sends; ``sent`` comes to be in the order of the first calls."""

    def note(_: nn.Module, __: Any, result: Any) -> None:
        first = result[0] if isinstance(result, tuple | list) and result else result
        if isinstance(first, Tensor):
            sent.setdefault(path, []).append(first.detach().clone())

    module.register_forward_hook(note)


def _sequence(
    calls: list[Tensor], steps: int, batch: int, kind: str, inside: Form | None = Form.TIME_FIRST
) -> Tensor | None:
    """What a submodule sent as (T, B, ...); None where its calls are not the steps.

    ``inside``: the form in which modules have sequences, if it is known.
    """
    if len(calls) == steps and len({call.shape for call in calls}) == 1:
        if calls[0].shape[:1] == (batch,):
            return torch.stack(calls).cpu()
        if steps > 1:
            return None
    if len(calls) != 1 or kind == "step":
        return None
    whole = calls[0].cpu()
    leads = {
        Form.TIME_FIRST: (steps, batch),
        Form.BATCH_FIRST: (batch, steps),
        Form.MERGED: (steps * batch,),
    }
    likely = [inside] if inside else [Form.TIME_FIRST, Form.BATCH_FIRST]
    if inside is None and steps == batch:
        return None  # nothing tells the axes apart
    for form in likely:
        if form in leads and whole.shape[: len(leads[form])] == leads[form]:
            return form.unpack(whole, steps, batch)
    folded = inside is Form.TIME_FIRST and whole.shape[:1] == (steps * batch,)
    return whole.reshape(steps, batch, *whole.shape[1:]) if folded else None


def _arguments(model: nn.Module) -> tuple[int, float]:
    """How many positional arguments forward needs, and how many it takes."""
    parameters = inspect.signature(model.forward).parameters.values()
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in places)
    any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return needed, float("inf") if any_number else len(places)
