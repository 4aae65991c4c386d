"""That a model and its graph give the same, seen: side by side, on inputs that drive every neuron.

At numbers of steps and samples that neither the sample nor the trace had. What differs by no more
than rounding in float64 as well is a difference; what is equal there was rounding.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from t1c.ir.errors import GraphWarning, InputError, Problem, UnsupportedError

from ..verify import VerificationError
from .calling import ModelError
from .differences import Difference, differing
from .drive import Drive, Driver
from .exactly import at_thresholds
from .forms import features_of
from .parting import clue
from .sides import Sides, Xs
from .sized import described, failed_at
from .trace import Traced
from .where import home_of

STEPS = 64
"""Steps of the proof: more than the trace had, and than a counter is likely to count to."""
FEWEST = 25
"""Steps of the proof of a model that is costly to run, but not LARGE."""
WORK = 12_000_000
"""Numbers that a model may work out for as many steps as STEPS; more make it fewer steps."""
AMPLITUDES = (1.0, 6.0, -1.0, 0.0, 48.0)
"""From step to step: as the sample is, stronger, the other way round, nothing, far too strong."""


class ProofWarning(GraphWarning):
    """A part of a model could not be driven: what was proven says nothing of it."""


def prove(model: nn.Module, found: Traced, more: Any = None) -> None:
    """Run a model and its graph side by side.

    Args:
        model: what was exported.
        found: its graph, and how the model is called.
        more: further inputs (T, B, *shape) of the user's.

    Raises:
        VerificationError: they do not agree.
        UnsupportedError: the model does not run on numbers like the sample's.
        InputError: the user's inputs are not the model's.
    """
    proof = _Proof(model, found)
    given = proof.of_user(more)
    form = found.form
    flexible = form.single or len({steps for steps, _ in found.sizes}) > 1
    free = len({batch for _, batch in found.sizes}) > 1 or found.sizes[0][1] != form.batch
    batch = (1 if found.large else 2) if free else form.batch
    few, many = (5, 12) if found.large else (7, _steps(found, batch))
    if not flexible:
        few = many = form.steps
    proof.drive(proof.drawn(few, batch, 2))
    proof.compare_at((many, batch), 3)
    if not found.large:
        proof.compare_at((few, 1 if free else form.batch), 4, stepping=True)
    one = flexible and not form.single and proof.compare_one_step(proof.drawn(1, batch, 5))
    proof.check_thresholds(proof.drawn(1 if one or form.single else few, batch, 6))
    proof.warn()
    if given:
        proof.sides.gains = {}
        try:
            proof.compare(given)
        except ModelError as error:
            raise UnsupportedError(error.problem.at("on the inputs of verify")) from error


def _steps(found: Traced, batch: int) -> int:
    """How many steps a model is proven on, by what a step costs."""
    return max(FEWEST, min(STEPS, WORK // max(found.numbers * batch, 1)))


class _Proof:
    def __init__(self, model: nn.Module, found: Traced) -> None:
        self.model, self.found = model, found
        self.sides = Sides(model, found)
        self.driven = Drive()
        self.smaller: list[str] = []
        held = (p.dtype for p in model.parameters() if p.is_floating_point())
        given = (
            t.dtype
            for t in found.arguments.tensors
            if isinstance(t, Tensor) and t.is_floating_point()
        )
        self.dtype = next(held, next(given, torch.get_default_dtype()))

    # Inputs ----------------------------------------------------------------------------------

    def drawn(self, steps: int, batch: int, seed: int) -> dict[int, Tensor]:
        """Inputs (T, B, *features) for each number; (B, *features) where they are held."""
        generator = torch.Generator().manual_seed(seed)
        drawn: dict[int, Tensor] = {}
        for number, sample in enumerate(self.found.arguments.tensors):
            if not isinstance(sample, Tensor) or self.found.form.shapes[number] is None:
                continue
            shape = features_of(self.found.form, number)
            lead = (batch,) if self.found.form.still(number) else (steps, batch)
            if not sample.is_floating_point():
                high = max(int(sample.max()) if sample.numel() else 1, 1) + 1
                drawn[number] = torch.randint(0, high, (*lead, *shape), generator=generator)
                continue
            size = max(float(sample.abs().max()) if sample.numel() else 1.0, 1.0)
            size = size if size < float("inf") else 1.0
            # A few binary digits: what the first layer adds up is exact, or nearly so.
            packed = torch.randint(-16, 49, (*lead, *shape), generator=generator) / 16
            # One value that is held through all steps had better not be nothing.
            kinds = 3 if self.found.form.still(number) else len(AMPLITUDES)
            chosen = torch.randint(0, kinds, lead, generator=generator)
            scale = torch.tensor(AMPLITUDES)[chosen]
            packed = packed * scale.reshape(*lead, *[1] * len(shape)) * size
            drawn[number] = packed.to(self.dtype)
        return drawn

    def of_user(self, more: Any) -> dict[int, Tensor]:
        """The user's inputs by their numbers.

        Raises:
            InputError: they are not what the model takes.
        """
        names = [name for n, name in enumerate(self.found.arguments.names) if n in self.sides.names]
        listed = list(more) if isinstance(more, tuple | list) else [more]
        given = dict(more) if isinstance(more, Mapping) else dict(zip(names, listed, strict=False))
        taken: dict[int, Tensor] = {}
        for number in self.sides.names if more is not None else ():
            name = self.found.arguments.names[number]
            value = given.pop(name, given.pop(number, None))
            shape = features_of(self.found.form, number)
            lead = ("B",) if self.found.form.still(number) else ("T", "B")
            wanted = f"({', '.join((*lead, *map(str, shape)))})"
            try:
                tensor = torch.as_tensor(value)
            except (TypeError, ValueError, RuntimeError):
                tensor = None
            if tensor is None or tuple(tensor.shape[len(lead) :]) != shape:
                met = type(value).__name__ if tensor is None else f"shape {tuple(tensor.shape)}"
                raise InputError(
                    Problem(
                        f"{met} for input {name!r}",
                        f"a tensor {wanted}",
                        "Time comes first, then the batch, wherever the model wants them.",
                        where="verify",
                    )
                )
            taken[number] = tensor
        if given and more is not None:
            raise InputError(
                Problem(f"inputs {list(given)}", f"those of the model: {names}", where="verify")
            )
        return taken

    def drive(self, xs: Xs) -> None:
        """Find gains that make every population fire, and stay silent."""
        graph, form = self.found.graph, self.found.form
        movable = {path for path, _ in self.model.named_modules() if path}
        used = {n for n in graph.nodes if n in movable}
        copies = {
            str(node.metadata["copy_of"])
            for node in graph.nodes.values()
            if "copy_of" in node.metadata
        }
        tied = {n for n, node in graph.nodes.items() if "tied" in node.metadata}
        steps, _ = self.sides.size(xs)
        known = {
            self.sides.names[n]: (x.expand(steps, *x.shape) if form.still(n) else x)
            for n, x in xs.items()
            if n in self.sides.names
        }
        driver = Driver(graph, self.dtype, used - copies - tied - self.found.recognised, known)
        self.driven = driver.drive()
        self.sides.gains = self.driven.gains
        if not self.driven.undriven:
            self.sides.keep(driver.executor, self.dtype)

    # Two sides -------------------------------------------------------------------------------

    def compare_at(self, wanted: tuple[int, int], seed: int, stepping: bool = False) -> None:
        """Compare at a number of steps and samples, or, if the model takes no such, at the trace's.

        Raises:
            VerificationError: the sides differ.
            UnsupportedError: the model runs on neither.
        """
        form, first = self.found.form, None
        for size in dict.fromkeys([wanted, *self.found.sizes, (form.steps, form.batch)]):
            try:
                self.compare(self.drawn(*size, seed), stepping)
            except ModelError as error:
                first = first or failed_at(error.problem, *size, form)
                continue
            if first is not None:
                self.smaller.append(f"{first.found} ({first.where}); {described(*size, form)}")
            return
        assert first is not None
        raise UnsupportedError(first)

    def compare(self, xs: Xs, stepping: bool = False) -> None:
        """Compare on given inputs.

        Raises:
            VerificationError: the sides differ by more than rounding.
            ModelError: the model does not run on them.
        """
        model, dtype = self.model, self.dtype
        mine = self.sides.of_model(xs)
        theirs = self.sides.of_graph(xs, dtype, stepping)
        worst = differing(mine, theirs)
        if worst is None:
            return
        worst = differing(mine, theirs, strict=False)
        del mine, theirs
        precise = self._precise()
        if precise is not None:
            exact = {n: x.to(torch.float64) for n, x in xs.items()}
            try:
                mine = self.sides.of_model(exact, precise)
            except ModelError:
                pass  # a model that fixes its dtype cannot be run in another
            else:
                theirs = self.sides.of_graph(exact, torch.float64, stepping)
                worst = differing(mine, theirs, torch.finfo(self.dtype).eps / 4)
                xs, model, dtype = exact, precise, torch.float64
        if worst is not None:
            raise VerificationError(self._parting(worst, xs, model, dtype))

    def _precise(self) -> nn.Module | None:
        """A copy of the model in float64; None where it is in float64, or cannot be copied."""
        if self.dtype == torch.float64:
            return None
        try:
            return copy.deepcopy(self.model).to(torch.float64)
        except Exception:  # whatever a user's object does not allow
            return None

    def _parting(self, worst: Difference, xs: Xs, model: nn.Module, dtype: torch.dtype) -> Problem:
        """What differs, at which node first, and what may be the cause."""
        problem = Problem(
            f"model and graph part: {worst}",
            "the same at every step, for every sample",
            "The model does something that shows at other inputs, steps or samples than those "
            "it was traced on."
            if worst.shapes is None
            else "Of one sample or step keep the axis: squeeze(dim) and flatten(1) do.",
            where=f"{home_of(self.model)}, run beside its graph",
        )
        try:
            found = clue(self.sides, xs, dtype, torch.finfo(self.dtype).eps, model)
        except (
            Exception
        ):  # where the model cannot be followed at these sizes, nothing more is known
            return problem
        if found is None:
            return problem
        chosen = "Have custom_map return a node that does what the module does."
        return replace(
            problem,
            found=f"{problem.found}; {found.what}",
            remedy=chosen if found.chosen else problem.remedy,
            where=problem.where
            if found.where in ("", "the model")
            else f"{found.where}, run beside its graph",
        )

    def compare_one_step(self, xs: Xs) -> bool:
        """Compare on a sequence of one step, if the model takes that: whether it does."""
        try:
            self.compare(xs)
        except ModelError:
            return False
        return True

    def check_thresholds(self, xs: Xs) -> None:
        """Feed each neuron what puts its membrane exactly at its threshold.

        Raises:
            VerificationError: in float64 too, a module fires there and its node does not, or not.
        """
        self.sides.gains = {}
        problems = at_thresholds(self.sides, xs, self.model, self.dtype)
        if problems and self.dtype != torch.float64:
            precise = self._precise()
            exact = {n: x.to(torch.float64) for n, x in xs.items()}
            problems = (
                [] if precise is None else at_thresholds(self.sides, exact, precise, torch.float64)
            )
        if problems:
            raise VerificationError(problems)

    def warn(self) -> None:
        """Name the populations that could not be driven, and what the model did not run on."""
        parts = [
            ("never fires", self.driven.silent),
            ("never stays silent", self.driven.busy),
        ]
        told = [f"{what}: {', '.join(map(repr, names))}" for what, names in parts if names]
        for why in dict.fromkeys(self.driven.undriven.values()):
            names = ", ".join(repr(n) for n, w in self.driven.undriven.items() if w == why)
            told.append(f"not driven: {names}, because {why}")
        if told:
            self._say(
                f"the proof could not drive some neurons ({'; '.join(told)}): what they would do "
                "otherwise was not seen"
            )
        for text in dict.fromkeys(self.smaller):
            self._say(f"the proof goes no further than the trace: {text} it was compared")

    @staticmethod
    def _say(text: str) -> None:
        warnings.warn(text, ProofWarning, stacklevel=6)
