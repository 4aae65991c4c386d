"""That a model and its graph give the same, seen: side by side, on inputs that drive every neuron.

At numbers of steps and samples that neither the sample nor the trace had. What differs by no more
than rounding in float64 as well is a difference; what is equal there was rounding.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import GraphWarning, Problem, T1CError, UnsupportedError

from ..from_ir import ir_to_torch
from ..verify import VerificationError
from .calling import raised
from .drive import Drive, Driver, with_gains
from .forms import features_of, packed, unpacked
from .preserve import preserved
from .trace import Traced

STEPS = 25
"""Steps of the proof: more than the trace had, and than a counter is likely to count to."""
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
    """
    form = found.form
    flexible = form.single or len({steps for steps, _ in found.sizes}) > 1
    free = len({batch for _, batch in found.sizes}) > 1 or found.sizes[0][1] != form.batch
    batch = (1 if found.large else 2) if free else form.batch
    few, many = (5, 12) if found.large else (7, STEPS)
    proof = _Proof(model, found)
    proof.drive(proof.drawn(few if flexible else form.steps, batch, 2))
    proof.compare(proof.drawn(many if flexible else form.steps, batch, 3))
    if not found.large:
        other = 1 if free else form.batch
        proof.compare(proof.drawn(few if flexible else form.steps, other, 4), stepping=True)
    if flexible and not form.single:
        proof.compare_one_step(proof.drawn(1, batch, 5))
    proof.warn()
    if more is not None:
        proof.gains = {}
        given = more if isinstance(more, Mapping) else {0: more}
        if isinstance(more, tuple | list):
            given = dict(enumerate(more))
        names = list(found.arguments.names)
        proof.compare(
            {
                names.index(key) if isinstance(key, str) else key: torch.as_tensor(value)
                for key, value in given.items()
            }
        )


class _Proof:
    def __init__(self, model: nn.Module, found: Traced) -> None:
        self.model, self.found = model, found
        self.graph = found.graph
        self.gains: dict[str, float] = {}
        self.driven = Drive()
        held = (p.dtype for p in model.parameters() if p.is_floating_point())
        given = (
            t.dtype
            for t in found.arguments.tensors
            if isinstance(t, Tensor) and t.is_floating_point()
        )
        self.dtype = next(held, next(given, torch.get_default_dtype()))
        self.names = dict(zip(_numbers(found), self.graph.inputs(), strict=True))

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

    def drive(self, xs: Mapping[int, Tensor]) -> None:
        """Find gains that make every population fire, and stay silent."""
        movable = {path for path, _ in self.model.named_modules() if path}
        used = {n for n in self.graph.nodes if n in movable}
        copies = {
            str(node.metadata["copy_of"])
            for node in self.graph.nodes.values()
            if "copy_of" in node.metadata
        }
        tied = {n for n, node in self.graph.nodes.items() if "tied" in node.metadata}
        timed = [x.shape[0] for n, x in xs.items() if not self.found.form.still(n)]
        steps = timed[0] if timed else 7
        known = {
            self.names[n]: (x.expand(steps, *x.shape) if self.found.form.still(n) else x)
            for n, x in xs.items()
            if n in self.names
        }
        try:
            self.driven = Driver(self.graph, self.dtype, used - copies - tied, known).drive()
        except T1CError:
            self.driven = Drive()
        self.gains = self.driven.gains

    # Two sides -------------------------------------------------------------------------------

    def compare(self, xs: Mapping[int, Tensor], stepping: bool = False) -> None:
        """Raise if the sides differ by more than rounding."""
        mine = self._of_model(self.model, xs, self.dtype)
        theirs = self._of_graph(xs, self.dtype, stepping)
        worst = _differing(mine, theirs)
        if worst is None:
            return
        loosely = _differing(mine, theirs, strict=False)
        if self.dtype != torch.float64:
            exact = {n: x.to(torch.float64) for n, x in xs.items()}
            try:
                precise = copy.deepcopy(self.model).to(torch.float64)
                mine = self._of_model(precise, exact, torch.float64)
            except Exception:  # a model that fixes its dtype cannot be run in another
                worst = loosely
            else:
                theirs = self._of_graph(exact, torch.float64, stepping)
                worst = _differing(mine, theirs, strict=False)
        else:
            worst = loosely
        if worst is None:
            return
        name, count, total, largest, step = worst
        first = "" if step is None else f", first at step {step}"
        raise VerificationError(
            Problem(
                f"model and graph part: {count} of {total} values of {name!r} differ, by up to "
                f"{largest:.3g}{first}",
                "the same at every step, for every sample",
                "The model does something that shows at other inputs, steps or samples than those "
                "it was traced on, or a custom_map says what a module does not do.",
                where=f"{type(self.model).__name__}, run beside its graph",
            )
        )

    def compare_one_step(self, xs: Mapping[int, Tensor]) -> None:
        """Compare on a sequence of one step, if the model takes that."""
        try:
            self._of_model(self.model, xs, self.dtype)
        except UnsupportedError:
            return
        self.compare(xs)

    @torch.no_grad()
    def _of_model(
        self, model: nn.Module, xs: Mapping[int, Tensor], dtype: torch.dtype
    ) -> dict[str, Tensor]:
        form, arguments = self.found.form, self.found.arguments
        names = list(self.graph.outputs())
        turns = next(iter(xs.values())).shape[0] if form.single else 1
        results: list[list[Tensor]] = []
        state: tuple[Any, ...] = ()
        with preserved(model), ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            for handle in self._hooks(model):
                stack.callback(handle.remove)
            for turn in range(turns):
                given = []
                for number, sample in enumerate(arguments.tensors):
                    if number not in xs:
                        given.append(sample)
                    elif form.single:
                        given.append(xs[number][turn].clone())
                    else:
                        given.append(packed(form, number, xs[number]))
                try:
                    result = arguments.call(model, given, state)
                except T1CError:
                    raise
                except Exception as error:
                    raise UnsupportedError(
                        raised(error, model).at(f"on inputs {[tuple(t.shape) for t in given]}")
                    ) from error
                outputs, state = arguments.parted(result)
                results.append(self.found.picked(outputs))
        if form.single:
            return {
                name: torch.stack([turn[i] for turn in results]) for i, name in enumerate(names)
            }
        return {
            name: unpacked(results[0][i], self.found.layouts[i], form, xs)
            for i, name in enumerate(names)
        }

    def _hooks(self, model: nn.Module) -> list[Any]:
        """The gains of the model's side."""
        handles = []
        modules = dict(model.named_modules())
        for name, gain in self.gains.items():
            if hasattr(self.graph.nodes[name], "weight"):
                handles.append(
                    modules[name].register_forward_hook(lambda m, a, out, g=gain: out * g)
                )
            else:
                handles.append(
                    modules[name].register_forward_pre_hook(
                        lambda m, args, g=gain: (args[0] * g, *args[1:])
                    )
                )
        return handles

    @torch.no_grad()
    def _of_graph(
        self, xs: Mapping[int, Tensor], dtype: torch.dtype, stepping: bool
    ) -> dict[str, Tensor]:
        graph = with_gains(self.graph, self.gains) if self.gains else self.graph
        executor = ir_to_torch(graph, dtype=dtype, events=False, return_state=True)
        given = {self.names[n]: x.to(dtype) for n, x in xs.items() if n in self.names}
        outs, _ = executor.run(given)
        named = outs if isinstance(outs, Mapping) else {next(iter(graph.outputs())): outs}
        if stepping:
            self._step(executor, graph, given, named)
        return dict(named)

    def _step(
        self,
        executor: Any,
        graph: ir.Graph,
        given: Mapping[str, Tensor],
        named: Mapping[str, Tensor],
    ) -> None:
        """Refuse a graph that steps to something else than it runs to."""
        form = self.found.form
        still = {self.names[n] for n in self.names if form.still(n)}
        timed = [len(x) for n, x in given.items() if n not in still]
        steps = timed[0] if timed else form.steps
        state: Any = {}
        stepped: dict[str, list[Tensor]] = {name: [] for name in named}
        for t in range(steps):
            out, state = executor({n: x if n in still else x[t] for n, x in given.items()}, state)
            outs = out if isinstance(out, Mapping) else {next(iter(named)): out}
            for name, value in outs.items():
                stepped[name].append(value)
        for name, node in graph.outputs().items():
            whole = stepped[name][-1] if node.final else torch.stack(stepped[name])
            worst = _differing({name: named[name]}, {name: whole})
            if worst is not None:
                raise VerificationError(
                    Problem(
                        f"the graph runs to something else than it steps to: {worst[1]} of "
                        f"{worst[2]} values of {name!r} differ",
                        "the same numbers in every mode",
                        "This is a defect of t1c: please report it.",
                    )
                )

    def warn(self) -> None:
        """Name the populations that could not be driven."""
        parts = [
            ("never fires", self.driven.silent),
            ("never stays silent", self.driven.busy),
        ]
        told = [f"{what}: {', '.join(map(repr, names))}" for what, names in parts if names]
        if told:
            warnings.warn(
                f"the proof could not drive some neurons ({'; '.join(told)}): what they would do "
                "otherwise was not seen",
                ProofWarning,
                stacklevel=5,
            )


def _numbers(found: Traced) -> list[int]:
    """The numbers of the inputs that the graph has, in its order."""
    return list(found.entries)


def _differing(
    mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor], strict: bool = True
) -> tuple[str, int, int, float, int | None] | None:
    """The output that differs most often.

    Two numbers are the same within rounding: of the largest of their step and sample where that is
    ``strict``, of the largest of all otherwise.

    Returns:
        (name, how many values, of how many, by how much, the first step; None where there is one
        answer).
    """
    found = None
    for name, a in mine.items():
        b = theirs[name]
        if a.shape != b.shape:
            return name, a.numel(), a.numel(), float("inf"), None
        eps = max(torch.finfo(t.dtype).eps for t in (a, b) if t.is_floating_point())
        x, y = a.to(torch.float64), b.to(torch.float64)
        sizes = torch.where(torch.isfinite(x), x.abs(), 0.0)
        largest = sizes.max() if sizes.numel() else sizes.sum()
        # Sums of thousands of terms, over dozens of layers and steps.
        room = 2048 * eps * largest
        if strict and x.ndim > 1:
            own = sizes.flatten(1).max(1).values if x.ndim < 3 else sizes.flatten(2).max(2).values
            own = own.reshape(*own.shape, *[1] * (x.ndim - own.ndim))
            room = 512 * eps * own + 16 * eps * largest
        gap = (x - y).abs()
        off = ~((gap <= room) | (x == y) | (x.isnan() & y.isnan()))
        count = int(off.sum())
        if count and (found is None or count > found[1]):
            seen = gap[off]
            seen = seen[~seen.isnan()]
            most = float(seen.max()) if seen.numel() else float("nan")
            step = int(off.flatten(1).any(1).nonzero()[0]) if x.ndim > 2 else None
            found = name, count, a.numel(), most, step
    return found
