"""What a model returned: which tensors are its outputs, and whether a graph can send them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from t1c.ir.errors import Problem, UnsupportedError

from .axes import BATCH, STILL, leaves
from .forms import Shapes
from .record import Record, Value
from .steps import Steps

Place = tuple[Any, ...]
"""The keys that lead to a part of nested outputs."""
Output = tuple[str, Value | list[Value], Place]
"""What a model returned: a name, the value or one for each step, and its place."""


def results_of(run: Record, steps: Steps) -> list[Output]:
    """The outputs of a model: name, value and place, without those that are only states.

    Raises:
        UnsupportedError: there are none.
    """
    if steps.single:
        turns = [_named(result) for result in run.results]
        if any([o[0] for o in turn] != [o[0] for o in turns[0]] for turn in turns):
            raise UnsupportedError(
                Problem(
                    f"the model returns {' and '.join(_returned(turns))} at different calls",
                    "the same outputs at every call",
                    "Return the same tensors, under the same names, at every step.",
                )
            )
        found: list[Output] = [
            (name, [turn[at][1] for turn in turns], place)  # type: ignore[misc]
            for at, (name, _, place) in enumerate(turns[0])
        ]
    else:
        found = _named(run.results[0], steps)
    kept = _without_echoes([out for out in found if not _is_state(out[1])]) or found
    if not kept:
        raise UnsupportedError(
            Problem(
                f"the model returns {_kind(run.results[0])}",
                "at least one output of a module or operation",
                "Return what the model works out.",
            )
        )
    return kept


def _returned(turns: Sequence[Sequence[Output]]) -> list[str]:
    """The first two things that calls returned that are not alike."""
    said = [", ".join(name for name, _, _ in turn) or "nothing" for turn in turns]
    return list(dict.fromkeys(said))[:2]


def _kind(result: Any) -> str:
    return "None" if result is None else f"a {type(result).__name__}, which holds no tensor"


def _named(
    result: Any, steps: Steps | None = None, name: str = "output", place: Place = ()
) -> list[Output]:
    """What the model returned, depth first; a list of one value for each step is one output."""
    if isinstance(result, Value):
        return [(name, result, place)]
    if isinstance(result, Mapping):
        return [
            out
            for key, part in result.items()
            for out in _named(part, steps, str(key), (*place, key))
        ]
    if not isinstance(result, tuple | list):
        return []
    values = list(result)
    if (
        steps is not None
        and values
        and all(isinstance(v, Value) and not steps.whole(v) for v in values)
        and [steps.time(v) for v in values] == list(range(steps.count))
        and (len(values) > 1 or isinstance(result, list))
    ):
        return [(name, values, place)]
    found = [_named(p, steps, f"{name}_{i + 1}", (*place, i)) for i, p in enumerate(values)]
    return [out for part in found for out in part]


def _is_state(value: Value | list[Value]) -> bool:
    if isinstance(value, list):
        return all(_is_state(v) for v in value)
    if value.is_state:
        return True
    call = value.call
    joined = call is not None and call.name in ("stack", "cat", "unsqueeze")
    return joined and all(_is_state(v) for v in call.inputs)  # type: ignore[union-attr]


def _without_echoes(outputs: list[Output]) -> list[Output]:
    """The outputs less those that are an integrator's output once more, as its state."""
    kept: list[Output] = []
    seen: set[Any] = set()
    for name, value, place in outputs:
        key = tuple(value) if isinstance(value, list) else (value,)
        echoes = any(
            v.call is not None
            and v.call.neuron
            and any(s.tensor is v.tensor for s in v.call.states)
            for v in key
        )
        if echoes and key in seen:
            continue
        seen.add(key)
        kept.append((name, value, place))
    return kept


def refuse_other_axes(name: str, value: Value | list[Value], axes: Shapes) -> None:
    """Refuse an output without a batch, or with nothing else than that and time."""
    last = value[-1] if isinstance(value, list) else value
    place = last.call.place if last.call is not None else ""
    if not any(role == BATCH for dim in axes for role, _ in dim):
        raise UnsupportedError(
            Problem(
                f"output {name!r} has no batch axis: one answer for all samples",
                "an answer for each sample",
                "Leave sums and means over the batch, and the choice of one sample, out of the "
                "model.",
            )
        )
    if all(any(role is not None for role, _ in dim) for dim in axes):
        raise UnsupportedError(
            Problem(
                f"output {name!r} of shape {last.shape} has no features",
                "at least one axis behind the batch",
                "Use keepdim=True, or .unsqueeze(-1).",
                place,
            )
        )


def refuse_without_features(name: str, value: Value | list[Value], shape: Sequence[int]) -> None:
    """Refuse an output of nothing, or of one number for each sample without an axis of its own."""
    last = value[-1] if isinstance(value, list) else value
    if 0 in shape or not shape:
        raise UnsupportedError(
            Problem(
                f"output {name!r} has the features {tuple(shape)}",
                "at least one axis of features, none of them empty",
                "Keep the axis, as x[:, 0:1] and keepdim=True do, or use x.unsqueeze(-1).",
                where="" if last.call is None else last.call.place,
            )
        )


def refuse_other_order(name: str, steps: Steps, value: Value) -> None:
    """Refuse an output of a step model whose first axis is not the batch, or one that is time."""
    roles = [{leaf.role for leaf in leaves(dim)} for dim in steps.dims(value)]
    if value.constant:
        return  # It says so itself.
    if BATCH not in roles[0] or any(STILL in found for found in roles):
        raise UnsupportedError(
            Problem(
                f"output {name!r} of a model of single steps has an axis of its own for time, or "
                "in front of the batch",
                "an output (B, ...), as the input is",
                "Return y.squeeze(0) where it has one step, y.movedim(0, 1) where it has features.",
                where="" if value.call is None else value.call.place,
            )
        )
