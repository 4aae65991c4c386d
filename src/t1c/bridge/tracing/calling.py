"""How a model is called, as its user would: with what, how often, and its state handed back."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from t1c.ir.errors import InputError, Problem, T1CError, UnsupportedError

from .attributes import Attributes
from .module_calls import Convert
from .preserve import preserved
from .record import Record, Value, replaced
from .recorder import Recorder
from .where import raised_at


class ModelError(Exception):
    """The model itself raised; ``problem`` says what and where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True)
class Arguments:
    """What a model is called with.

    Attributes:
        names: of what is passed, in order.
        tensors: what is passed, in order.
        keywords: whether it is passed by name.
        rest: the parameters behind them that may take a state.
        needed: those of the rest that have no default.
        starts: what the first of the rest are at rest, where the sample had them.
    """

    names: tuple[str, ...]
    tensors: tuple[Any, ...]
    keywords: bool
    rest: tuple[str, ...]
    needed: tuple[str, ...]
    starts: tuple[Tensor, ...] = ()

    def call(self, model: nn.Module, tensors: Sequence[Any], state: Sequence[Any]) -> Any:
        """One call of the model."""
        if not state:
            first = next(t for t in tensors if isinstance(t, Tensor))
            rest = [s.new_zeros((first.shape[0], *s.shape[1:])) for s in self.starts]
            state = (*rest, *(None for _ in self.needed[len(rest) :]))
        if self.keywords:
            return model(
                **dict(zip(self.names, tensors, strict=True)),
                **dict(zip(self.rest, state, strict=False)),
            )
        return model(*tensors, *state)

    def without(self, numbers: set[int]) -> Arguments:
        """The same, where some of what is passed are states, which start at rest."""
        kept = [i for i in range(len(self.names)) if i not in numbers]
        states = tuple(self.names[i] for i in sorted(numbers))
        return replace(
            self,
            names=tuple(self.names[i] for i in kept),
            tensors=tuple(self.tensors[i] for i in kept),
            rest=(*states, *self.rest),
            needed=(*states, *self.needed),
            starts=tuple(self.tensors[i] for i in sorted(numbers)),
        )

    def states_in(self, result: Any) -> set[int]:
        """The numbers of what is passed that are states: zeros, and returned behind the outputs."""
        count = len(self.names) - 1
        if self.keywords or self.rest or not isinstance(result, tuple) or len(result) <= count:
            return set()
        behind = result[len(result) - count :]
        given = self.tensors[1:]
        fitting = all(
            isinstance(s, Tensor) and isinstance(r, Tensor) and s.shape == r.shape and not s.any()
            for s, r in zip(given, behind, strict=True)
        )
        return set(range(1, count + 1)) if count and fitting else set()

    def parted(self, result: Any) -> tuple[Any, tuple[Any, ...]]:
        """What a call returned: outputs, and the state that it takes back.

        Outputs come first. A neuron whose state is its output returns as much as it takes.
        """
        count = len(self.rest)
        if not count or not isinstance(result, tuple) or len(result) < 2:
            return result, ()
        if len(result) == count and count > 1 and len(self.names) == 1 and _flat(result):
            return result[0], tuple(result)
        taken = min(count, len(result) - 1)
        outputs = result[: len(result) - taken]
        return (outputs[0] if len(outputs) == 1 else outputs), tuple(result[len(outputs) :])


def _flat(result: Sequence[Any]) -> bool:
    return all(isinstance(part, Tensor) for part in result)


def arguments_of(model: nn.Module, sample: Any) -> Arguments:
    """The arguments of a model, by the signature of its ``forward``.

    Raises:
        InputError: the sample holds no tensor.
    """
    # What torch.jit compiled has no signature; it is refused when it is called.
    scripted = isinstance(model, torch.jit.ScriptModule)
    parameters = () if scripted else inspect.signature(model.forward).parameters.values()
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if isinstance(sample, Mapping):
        given = {str(k): v for k, v in sample.items()}
        keywords = True
    else:
        listed = list(sample) if isinstance(sample, tuple | list) else [sample]
        names = [p.name for p in places]
        names += [f"input_{i + 1}" for i in range(len(names), len(listed))]
        given = dict(zip(names, listed, strict=False))
        keywords = False
    if not any(isinstance(item, Tensor) for item in given.values()):
        raise InputError(
            Problem(f"a sample of type {type(sample).__name__}", "a tensor with a batch dimension")
        )
    left = [p for p in places if p.name not in given]
    needed = [p.name for p in left if p.default is inspect.Parameter.empty]
    rest = [p.name for p in left if p.default in (inspect.Parameter.empty, None)]
    return Arguments(tuple(given), tuple(given.values()), keywords, tuple(rest), tuple(needed))


def record(
    model: nn.Module,
    arguments: Arguments,
    turns: Sequence[Sequence[Any]],
    convert: Convert,
    followed: Sequence[nn.Module] = (),
    single: bool = False,
    keep: bool = True,
) -> tuple[Record, Recorder]:
    """Run a model from rest, and write down what it does.

    Args:
        model: what runs; it is left as it was.
        arguments: how it is called.
        turns: what is passed at each call.
        convert: the user's choice of node for a module.
        followed: neurons whose own code is to be followed.
        single: the model takes single steps.
        keep: values that come from the input keep their numbers.

    Raises:
        T1CError: the model does what no graph can say.
        ModelError: the model raised something else.
    """
    recorder = Recorder(model, convert, keep)
    recorder.follow(followed)
    results: list[Any] = []
    inputs: dict[int, list[Value]] = {}
    state: tuple[Any, ...] = ()
    # Copies: a model may work on its input in place.
    turns = [[_copied(t) for t in tensors] for tensors in turns]
    with preserved(model):
        watched = Attributes(model)
        try:
            with recorder.recording():
                for turn, tensors in enumerate(turns):
                    recorder.turn = turn if single else None
                    for number, tensor in enumerate(tensors):
                        if isinstance(tensor, Tensor):
                            inputs.setdefault(number, []).append(recorder.enter(tensor, number))
                    result = arguments.call(model, tensors, state)
                    outputs, state = arguments.parted(result)
                    results.append(replaced(outputs, Tensor, recorder.value))
                    recorder.note_holders()
                    watched.look(turn)
        except (T1CError, KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except Exception as error:
            raise ModelError(raised(error, model)) from error
    return Record(recorder.calls, results, inputs, keep), recorder


def _copied(item: Any) -> Any:
    if not isinstance(item, Tensor):
        return item
    with torch.inference_mode(False):
        return item.detach().clone()


def raised(error: Exception, model: nn.Module) -> Problem:
    """What a model raised, and the line of its source that did."""
    text = (str(error).strip() or "no message").splitlines()[0]
    place, foreign = raised_at(error, model)
    line = f" ({foreign})" if foreign else ""
    return Problem(
        f"the model raises {type(error).__name__}: {text}{line}",
        "a model that runs on the sample",
        "Try the model on the sample by itself.",
        place,
    )


def refused_model(error: ModelError) -> UnsupportedError:
    """The error for a model that does not run on its sample."""
    return UnsupportedError(error.problem)
