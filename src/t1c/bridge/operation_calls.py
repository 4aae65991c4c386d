"""Operations on tensors: what each came to, and which take a step out of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from t1c.ir.errors import Problem, T1CError, UnsupportedError

from .exporting import Fragment
from .ledger import Ledger
from .operations import features, handler_of, plain_name
from .place import here
from .record import (
    Call,
    Entry,
    Fixed,
    Sent,
    Steps,
    Value,
    as_data,
    describe,
    is_constant,
    tensors_in,
    version_of,
)

READERS = frozenset(
    [
        *("__bool__", "__int__", "__float__", "__index__", "__complex__", "__contains__"),
        *("__array__", "item", "tolist", "numpy", "equal", "allclose", "is_nonzero"),
    ]
)
"""What turns a tensor's values into something that Python can decide upon."""

SHAPED_LIKE = frozenset(
    [
        *("zeros_like", "ones_like", "full_like", "empty_like"),
        *("new_zeros", "new_ones", "new_full", "new_empty"),
    ]
)
"""What takes nothing but the shape and dtype of a tensor."""

RANDOM = frozenset(
    [
        *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
        *("bernoulli", "bernoulli_", "normal", "normal_", "uniform_", "random_", "poisson"),
        *("multinomial", "exponential_", "geometric_", "cauchy_", "log_normal_"),
    ]
)
"""What gives other numbers in every run."""

_DATA = cast(Any, Tensor).data

_SWAPS = frozenset(["transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis"])


def _swapped(x: Tensor, y: Tensor) -> bool:
    """Whether ``y`` is ``x`` with batch and time swapped, seen from where its numbers lie."""
    order = (1, 0, *range(2, x.ndim))
    return x.ndim >= 2 and all(
        y.shape[new] == x.shape[old] and y.stride(new) == x.stride(old)
        for new, old in enumerate(order)
    )


class OperationCalls(Ledger):
    """The part of a trace that notes operations."""

    def operation_called(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation, and note what it did to the tensors that come from the sample.

        Raises:
            UnsupportedError: it reads their values.
        """
        if self._inside:
            return func(*args, **kwargs)
        given = list(tensors_in((args, kwargs)))
        values = [self.value(tensor) for tensor in given]
        name = getattr(func, "__name__", str(func))
        live = name not in SHAPED_LIKE and not all(is_constant(v) for v in values)
        if live and name in READERS:
            raise self._refusal(
                f"{name.strip('_')}() reads the values of {describe(values[0])}",
                "a model that does the same whatever the values are",
                "Decide on flags or shapes, or keep the decision out of the model.",
            )
        if live and getattr(func, "__self__", None) is _DATA:
            raise self._refusal(
                f".data of {describe(values[0])}, through which writing goes unseen",
                "tensors that stay as they were made",
                "Use .detach().",
            )
        versions = [version_of(tensor) for tensor in given]
        out = self._quietly(func, *args, **kwargs)
        if name in RANDOM:
            self._random(name, given, out)
            return out
        if live:
            self._note_writes(name, given, values, versions)
        if given and isinstance(out, Tensor | tuple | list) and name != "__len__":
            results = list(tensors_in(out))
            if results and not self._time(name, given, values, args, kwargs, results):
                self._operation(name, given, values, live, args, kwargs, out)
        return out

    def _random(self, name: str, given: Sequence[Tensor], out: Any) -> None:
        """Note numbers that are others in every run: no constant of a graph."""
        reason = Problem(f"{name} draws random numbers", "a model that gives the same every time")
        call = self._opaque(name, (), self._unsupported(name, reason))
        for result in tensors_in(out):
            self._know(result, Sent(call))
            if any(result is tensor for tensor in given):
                self._write(result, call)

    def _note_writes(
        self, name: str, given: Sequence[Tensor], values: Sequence[Value], versions: Sequence[int]
    ) -> None:
        """Note what was written from the sample into a tensor that did not come from it."""
        for tensor, value, version in zip(given, values, versions, strict=True):
            if isinstance(value, Fixed) and version_of(tensor) != version:
                reason = Problem(
                    f"{name.strip('_')} writes into a tensor that was made before",
                    "values that are made, not filled in",
                    "Append to a list, and use torch.stack or torch.cat.",
                )
                self._write(
                    tensor, self._opaque(name, tuple(values), self._unsupported(name, reason))
                )

    def _opaque(self, name: str, inputs: tuple[Value, ...], problem: Problem) -> Call:
        call = Call(len(self.calls), plain_name(name), here(), inputs, problem=problem)
        self.calls.append(call)
        return call

    def _operation(
        self,
        name: str,
        given: Sequence[Tensor],
        values: Sequence[Value],
        live: bool,
        args: Any,
        kwargs: Any,
        out: Any,
    ) -> None:
        """Note what an operation on tensors came to."""
        handler = handler_of(name)
        if handler is None and not live:
            return
        results = list(tensors_in(out))
        inputs, made, problem = tuple(values), None, None
        label = plain_name(name)
        try:
            if any(isinstance(v, Steps) for v in values) and label not in ("detach", "cpu", "to"):
                raise UnsupportedError(
                    Problem(
                        f"{label} works on all time steps at once",
                        "one step at a time",
                        "Return the stack, and go on outside of the model; or move it into the "
                        "loop.",
                    )
                )
            if handler is None:
                raise UnsupportedError(Problem(f"torch's {name} has no primitive"))
            done = handler(self._constant_before(given, values), out, *args, **kwargs)
            before = {id(t): v for t, v in zip(given, values, strict=True)}
            inputs = tuple(before[id(t)] for t in done.inputs)
            if done.node is None:
                self._know_same(results[0], inputs[0])
                return
            made = Fragment({"": done.node})
        except (T1CError, TypeError) as error:
            if not live:
                return
            reason = error.problems[0] if isinstance(error, T1CError) else Problem(str(error))
            problem = self._unsupported(name, reason)
        ports = len(results) if made and made.nodes[""].port_count > 1 else 1
        scope = self._scope[-1] if self._scope else ""
        call = Call(
            len(self.calls),
            f"{scope}.{label}" if scope else label,
            here(),
            tuple(as_data(v) for v in inputs),
            made,
            problem,
            ports=ports,
        )
        self.calls.append(call)
        for port, result in enumerate(results):
            self._know(result, Sent(call, port if ports > 1 else 0))

    def _time(
        self,
        name: str,
        given: Sequence[Tensor],
        values: Sequence[Value],
        args: Any,
        kwargs: Any,
        results: Sequence[Tensor],
    ) -> bool:
        """Note a step taken from an input, or steps being stacked; False if it is neither."""
        first = values[0]
        if name == "stack" and not any(isinstance(v, Steps | Fixed) for v in values):
            self._know(results[0], Steps(tuple(values)))
            return True
        if not isinstance(first, Entry) or first.time is not None:
            return False
        axis = 0
        if name in _SWAPS and _swapped(given[0], results[0]):
            self._know(results[0], replace(first, swapped=not first.swapped))
            return True
        if name == "__getitem__":
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            while index and (index[-1] is ... or index[-1] == slice(None)):
                index = index[:-1]
            axis = len(index) - 1
            if axis > 1 or any(i != slice(None) for i in index[:-1]):
                return False
            if not index or not isinstance(index[-1], int) or isinstance(index[-1], bool):
                return False
            steps = [index[-1] % given[0].shape[axis]]
        elif name == "select":
            dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
            index = kwargs.get("index", args[-1])
            if not isinstance(dim, int) or not isinstance(index, int):
                return False
            axis = dim % given[0].ndim
            if axis > 1:
                return False
            steps = [index % given[0].shape[axis]]
        elif name == "unbind":
            axis = kwargs.get("dim", args[1] if len(args) > 1 else 0)
            steps = list(range(len(results)))
        else:
            return False
        count, own_axis = given[0].shape[axis], 1 - axis if first.swapped else axis
        for step, result in zip(steps, results, strict=True):
            entry = Entry(first.number, features(result), step, count, axis=own_axis)
            self._know(result, entry)
        return True

    def _know_same(self, tensor: Tensor, value: Value) -> None:
        if not isinstance(value, Fixed):
            self._know(tensor, value)

    def _constant_before(
        self, given: Sequence[Tensor], values: Sequence[Value]
    ) -> Callable[[Any], bool]:
        """Whether a tensor was constant when the operation began: it may have changed it."""
        before = {id(t): is_constant(v) for t, v in zip(given, values, strict=True)}
        return lambda item: before.get(id(item), True)

    def _unsupported(self, name: str, reason: Problem) -> Problem:
        return Problem(
            reason.found
            if f"torch's {name}" in reason.found
            else f"{reason.found} (torch's {name})",
            reason.expected or "an operation or module that has a primitive",
            reason.remedy
            or "Put it into a module of its own and pass custom_map={ThatModule: function}, "
            "or move it out of the model.",
            where=here(),
        )
