"""What a model did: which module or operation was given what.

Every tensor is known by its identity, so that the record holds what really happened, in whatever
order and through whatever Python. Nothing is judged here but what reads a tensor's values, which
would make the graph depend on the sample.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from .ledger import ALWAYS_CONSTANT, Ledger, describe
from .mapped import written_out
from .modes import Modes
from .module_calls import ModuleCalls
from .record import Value, tensors_in, version_of
from .told import told_of_modules
from .where import Whereabouts

READERS = frozenset(
    [
        "__bool__",
        "__int__",
        "__float__",
        "__index__",
        "__complex__",
        "__contains__",
        "__array__",
        "__dlpack__",
        "item",
        "tolist",
        "numpy",
        "equal",
        "allclose",
        "is_nonzero",
    ]
)
"""What turns a tensor's values into something that Python can decide upon."""

RANDOM = frozenset(
    [
        "rand",
        "randn",
        "randint",
        "randperm",
        "rand_like",
        "randn_like",
        "randint_like",
        "bernoulli",
        "bernoulli_",
        "normal",
        "normal_",
        "uniform_",
        "random_",
        "poisson",
        "multinomial",
        "exponential_",
        "geometric_",
        "cauchy_",
        "log_normal_",
    ]
)
"""What gives other numbers in every run."""

PASSING = frozenset(
    [
        "detach",
        "clone",
        "contiguous",
        "requires_grad_",
        "alias",
        "cpu",
        "cuda",
        "to",
        "type",
        "float",
        "double",
        "half",
        "bfloat16",
        "type_as",
        "view_as",
        "expand_as",
        "positive",
        "lift_fresh",
        "_to_copy",
        "to_dense",
        "resolve_conj",
        "resolve_neg",
    ]
)
"""What returns the numbers it was given, where shape and dtype are the same."""


class Recorder(ModuleCalls, Ledger):
    """The record of the calls of a model; call the model inside of ``recording``."""

    def operation(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation, and note what it did to the tensors that come from an input.

        Raises:
            UnsupportedError: it reads their values.
        """
        if self._inside:
            return func(*args, **kwargs)
        name = name_of(func)
        if name == "__iter__":
            return iter(self.operation(torch.Tensor.unbind, args, kwargs))
        given = list(tensors_in((args, kwargs)))
        values = [self.value(tensor) for tensor in given]
        live = not all(v.constant for v in values)
        if live and name not in ALWAYS_CONSTANT:
            self._refuse_reading(name, func, values)
            if name in RANDOM:
                raise self.refusal(
                    f"{name} draws random numbers",
                    "a model that gives the same every time",
                    "Draw them outside of the model, and pass them in.",
                )
        if name == "copy_" and len(given) == 2 and _alike(*given):
            return self._copied(func, given, args, kwargs)
        versions = [version_of(tensor) for tensor in given]
        targets = _targets(name, given, kwargs)
        self.quietly(self._keep_from_writing, targets, given, values)
        out = self.quietly(func, *args, **kwargs)
        written = [t for t, v in zip(given, versions, strict=True) if version_of(t) != v]
        # What only shares memory with the one that was written into is outdated.
        written = [t for t in written if not targets or any(t is x for x in targets)]
        if written:
            self._refuse_writing(written)
        results = [t for t in tensors_in(out) if all(t is not g for g in given)]
        if name in ALWAYS_CONSTANT or not (results or written):
            return out
        if live and any(t.is_quantized for t in results):
            raise self.refusal(
                f"{name} gives a tensor of {results[0].dtype}",
                "floating point, as fake quantisation has it",
                "Export the model before it is converted.",
            )
        if not live and name not in RANDOM and not given:
            return out
        if name == "data" and len(results) == 1:
            self.know(results[0], self.still(values[0]))
            return out
        if len(values) and not written and len(results) == 1 and name in PASSING:
            x, y = given[0], results[0]
            if x.shape == y.shape and x.dtype == y.dtype:
                self.know(y, self.still(values[0]) if name == "detach" else values[0])
                return out
        self._note(name, func, args, kwargs, written, results, given, values)
        return out

    def _note(
        self,
        name: str,
        func: Any,
        args: Any,
        kwargs: Any,
        written: Sequence[Tensor],
        results: Sequence[Tensor],
        given: Sequence[Tensor],
        values: Sequence[Value],
    ) -> None:
        """Write an operation down, which may have written into some of what it was given."""
        before = [self.value_of(t) for t in written]
        if written:
            for tensor, value in zip(given, values, strict=True):
                # As an argument it is still what it was.
                self.know(tensor, value)
        fresh = [*dict.fromkeys([*written, *results])]
        call = self.note(name, func, args, kwargs, fresh, random=name in RANDOM)
        for tensor in written:
            self.outdate(tensor)
        for tensor, value in zip(fresh, call.outputs, strict=True):
            self.know(tensor, value)
        for tensor, value in zip(written, before, strict=True):
            self._write_back(tensor, value)

    def _copied(self, func: Any, given: Sequence[Tensor], args: Any, kwargs: Any) -> Any:
        """Numbers written into a tensor of the same kind, which is then what they were."""
        target, source = given
        before, value = self.value(target), self.value(source)
        self.quietly(self._keep_from_writing, [target], given, [before, value])
        out = self.quietly(func, *args, **kwargs)
        self._refuse_writing([target])
        self.outdate(target)
        self.know(target, value)
        self._write_back(target, before)
        return out

    def _write_back(self, view: Tensor, before: Value) -> None:
        """Note that a write into ``out[t]`` is a write into ``out``."""
        found = self.taken_from(before)
        if found is None:
            return
        base, index = found
        self._refuse_writing([base])
        value, written = self.value_of(base), self.value_of(view)
        self.know(base, value)
        self.outdate(base)
        self.know(view, written)
        self.note("__setitem__", Tensor.__setitem__, (base, index, view), {}, [base])
        self._write_back(base, value)

    def _keep_from_writing(
        self, targets: Sequence[Tensor], given: Sequence[Tensor], values: Sequence[Value]
    ) -> None:
        """Have a value keep its numbers, if its tensor is about to be written into."""
        pairs = list(zip(given, values, strict=True))
        for tensor, value in pairs:
            behind = self.taken_from(value) if any(tensor is t for t in targets) else None
            if behind is not None and self.is_known(behind[0]):
                # What is written into a view changes what it was taken from.
                pairs.append((behind[0], self.value_of(behind[0])))
                targets = [*targets, behind[0]]
        for tensor, value in pairs:
            if any(tensor is t for t in targets) and value.tensor is tensor:
                value.tensor = tensor.detach().clone()
                if value.call is None and _address(tensor) in self.held:
                    self.originals.setdefault(id(tensor), (tensor, value.tensor))

    def _refuse_writing(self, written: Sequence[Tensor]) -> None:
        """Refuse a model that changes its own parameters, unless nothing changes by it."""
        for tensor in written:
            owner = self.parameters.get(tensor.untyped_storage().data_ptr())
            if owner is None or id(tensor) not in self.originals:
                continue
            if not self.quietly(torch.equal, tensor, self.originals[id(tensor)][1]):
                raise self.refusal(
                    f"the parameter {owner!r} is changed while the model runs",
                    "parameters that stay as they are",
                    "Change weights between runs, and bound them in the optimiser's step.",
                )

    def _refuse_reading(self, name: str, func: Any, values: Sequence[Value]) -> None:
        read = next(v for v in values if not v.constant)
        if name in READERS:
            raise self.refusal(
                f"{name.strip('_')}() reads the values of {describe(read)}",
                "a model that does the same whatever the values are",
                "Decide on flags or shapes, or keep the decision out of the model.",
            )

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Have every call of a module, and every operation, noted.

        Raises:
            UnsupportedError: what raised in the model itself, with the line that did.
        """
        self.places = Whereabouts(sys._getframe(2))
        self.modes = Modes(_Mode(self), _Below(self))
        try:
            with (
                told_of_modules(self.module_called),
                torch.inference_mode(False),
                torch.no_grad(),
                written_out(),
                self.modes.below,
                self.modes.above,
            ):
                yield
        finally:
            with torch.no_grad():
                for tensor, before in self.originals.values():
                    tensor.detach().copy_(before)


class _Mode(TorchFunctionMode):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._recorder._inside:
            return func(*args, **(kwargs or {}))
        for foreign in types:
            if not issubclass(foreign, Tensor):
                # What holds tensors without being one says itself which operations that means.
                with self:
                    out = foreign.__torch_function__(func, types, args, kwargs or {})
                if out is not NotImplemented:
                    return out
        return self._recorder.aside(self._recorder.operation, func, args, kwargs or {})


class _Below(TorchDispatchMode):
    """Sees the operations of compiled functions (torch.jit.script), which ``_Mode`` does not."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._recorder._inside:
            return func(*args, **(kwargs or {}))
        return self._recorder.operation(func, args, kwargs or {})


def _targets(name: str, given: Sequence[Tensor], kwargs: Any) -> list[Tensor]:
    """What an operation writes into, as far as its name tells."""
    plain = name.strip("_")
    in_place = name == "__setitem__" or name == f"__i{plain[1:]}__"
    in_place = in_place or (name.endswith("_") and not name.startswith("__"))
    return [given[0]] if in_place and given else list(tensors_in(kwargs.get("out")))


def _alike(target: Tensor, source: Tensor) -> bool:
    return target.shape == source.shape and target.dtype == source.dtype


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def name_of(func: Any) -> str:
    """The name of an operation: ``x.T`` is 'T', an overload of torch's core is its plain name.

    Others have the name of their library in front.
    """
    schema = getattr(func, "_schema", None)
    if schema is not None:
        return str(schema.name.removeprefix("aten::"))
    name = str(getattr(func, "__name__", func))
    if name in ("__get__", "__set__", "__delete__"):
        return str(getattr(getattr(func, "__self__", None), "__name__", name))
    return name
