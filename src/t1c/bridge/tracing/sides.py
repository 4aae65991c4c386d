"""The two sides of the proof: the model as its user calls it, and its graph, with gains in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import Problem, T1CError

from ..from_ir import ir_to_torch
from ..verify import VerificationError
from .calling import ModelError, raised
from .differences import differing
from .drive import with_gains
from .forms import packed, unpacked
from .preserve import preserved
from .trace import Traced
from .where import home_of

Xs = Mapping[int, Tensor]
"""Inputs by their numbers: (T, B, *features), or (B, *features) where they are held."""


class Sides:
    """A model and its graph, ready to run on the same inputs.

    Args:
        model: what was exported.
        found: its graph, and how the model is called.

    Attributes:
        gains: node -> the power of two by which what enters it, or its weight, is multiplied.
        names: number of an input -> its name in the graph.
    """

    def __init__(self, model: nn.Module, found: Traced) -> None:
        self.model, self.found = model, found
        self.gains: Mapping[str, float] = {}
        self.names = dict(zip(found.entries, found.graph.inputs(), strict=True))
        self._kept: tuple[Any, Any] | None = None

    def size(self, xs: Xs) -> tuple[int, int]:
        """How many steps of how many samples inputs are."""
        form = self.found.form
        timed = [x.shape[0] for n, x in xs.items() if not form.still(n)]
        number, given = next(iter(xs.items()))
        return timed[0] if timed else form.steps, given.shape[0 if form.still(number) else 1]

    def turns(self, xs: Xs) -> list[list[Any]]:
        """What the model is passed at each of its calls."""
        form, turns = self.found.form, []
        for turn in range(self.size(xs)[0] if form.single else 1):
            given: list[Any] = []
            for number, sample in enumerate(self.found.arguments.tensors):
                if number not in xs:
                    given.append(sample)
                elif form.single:
                    given.append(xs[number][turn].clone().to(sample.device))
                else:
                    given.append(packed(form, number, xs[number]).to(sample.device))
            turns.append(given)
        return turns

    # The model ---------------------------------------------------------------------------------

    @torch.no_grad()
    def of_model(self, xs: Xs, model: nn.Module | None = None) -> dict[str, Tensor]:
        """What a model gives, the exported one or a copy of it: output -> (T, B, ...).

        Raises:
            ModelError: it does not run on so many steps or samples.
        """
        model = self.model if model is None else model
        arguments = self.found.arguments
        results: list[list[Tensor]] = []
        state: tuple[Any, ...] = ()
        with self.gained(model):
            for given in self.turns(xs):
                try:
                    result = arguments.call(model, given, state)
                except T1CError:
                    raise
                except Exception as error:
                    raise ModelError(raised(error, model)) from error
                outputs, state = arguments.parted(result)
                try:
                    results.append(self.found.picked(outputs))
                except (LookupError, TypeError):
                    raise ModelError(self._returned(len(results), "other outputs")) from None
        return {
            name: self._laid_out(i, [turn[i] for turn in results], xs)
            for i, name in enumerate(self.found.graph.outputs())
        }

    def _laid_out(self, number: int, turns: list[Any], xs: Xs) -> Tensor:
        """An output of the model, time and batch first."""
        try:
            if self.found.form.single:
                return torch.stack(turns).cpu()
            return unpacked(turns[0], self.found.layouts[number], self.found.form, xs).cpu()
        except (RuntimeError, TypeError):
            shapes = {tuple(t.shape) for t in turns if isinstance(t, Tensor)}
            said = f"outputs of shape {' and '.join(map(str, sorted(shapes)))}"
            raise ModelError(self._returned(None, said)) from None

    def _returned(self, turn: int | None, what: str) -> Problem:
        when = "" if turn is None else f" from call {turn + 1}"
        return Problem(
            f"the model returns {what}{when}",
            "the same outputs, with the same axes, at every size",
            where=home_of(self.model),
        )

    @contextmanager
    def at_rest(self, model: nn.Module) -> Iterator[None]:
        """A model at rest, to be run and hooked; afterwards it is as it was.

        So is the one that it may be a copy of, as a copy shares what only a closure holds.
        """
        whole = preserved(self.model), preserved(model)
        with whole[0], whole[1], torch.inference_mode(False), torch.no_grad():
            yield

    @contextmanager
    def gained(self, model: nn.Module) -> Iterator[None]:
        """A model at rest with gains in place; afterwards it is as it was."""
        with self.at_rest(model):
            for name, gain in self.gains.items():
                module = model.get_submodule(name)
                if hasattr(self.found.graph.nodes[name], "weight"):
                    module.register_forward_hook(lambda m, a, out, g=gain: out * g)
                else:
                    module.register_forward_pre_hook(
                        lambda m, args, g=gain: (args[0] * g, *args[1:])
                    )
            yield

    # The graph ---------------------------------------------------------------------------------

    def keep(self, executor: Any, dtype: torch.dtype) -> None:
        """Use an executor of the graph, with the present gains in place, as long as they stay."""
        self._kept = (dtype, dict(self.gains)), executor

    def executor(self, dtype: torch.dtype) -> Any:
        """The graph with gains in place, its sums in torch's order."""
        if self._kept is not None and self._kept[0] == (dtype, dict(self.gains)):
            return self._kept[1]
        graph = self.found.graph
        gained = with_gains(graph, self.gains) if self.gains else graph
        return ir_to_torch(gained, dtype=dtype, events=False, return_state=True)

    def given(self, xs: Xs, dtype: torch.dtype) -> dict[str, Tensor]:
        """Inputs by the names that the graph has for them."""
        return {self.names[n]: x.to(dtype) for n, x in xs.items() if n in self.names}

    @torch.no_grad()
    def of_graph(self, xs: Xs, dtype: torch.dtype, stepping: bool) -> dict[str, Tensor]:
        """What the graph gives: output -> (T, B, ...).

        Args:
            xs: inputs.
            dtype: of the arithmetic.
            stepping: step it too.

        Raises:
            VerificationError: it steps to something else than it runs to.
        """
        executor, given = self.executor(dtype), self.given(xs, dtype)
        outs, _ = executor.run(given)
        names = list(self.found.graph.outputs())
        named = dict(outs) if isinstance(outs, Mapping) else {names[0]: outs}
        if stepping:
            self._step(executor, given, named, self.size(xs)[0])
        return named

    def _step(
        self, executor: Any, given: Mapping[str, Tensor], named: Mapping[str, Tensor], steps: int
    ) -> None:
        still = {self.names[n] for n in self.names if self.found.form.still(n)}
        state: Any = {}
        stepped: dict[str, list[Tensor]] = {name: [] for name in named}
        for t in range(steps):
            out, state = executor({n: x if n in still else x[t] for n, x in given.items()}, state)
            outs = out if isinstance(out, Mapping) else {next(iter(named)): out}
            for name, value in outs.items():
                stepped[name].append(value)
        for name, node in self.found.graph.outputs().items():
            whole = _answer(node, stepped[name])
            found = differing({name: named[name]}, {name: whole})
            if found is not None:
                raise VerificationError(
                    Problem(
                        f"the graph runs to something else than it steps to: {found}",
                        "the same numbers in every mode",
                        "This is a defect of t1c: please report it.",
                    )
                )


def _answer(node: Any, steps: Sequence[Tensor]) -> Tensor:
    """An output as ``run`` gives it: all steps, or the last."""
    return steps[-1] if isinstance(node, ir.Output) and node.final else torch.stack(list(steps))
