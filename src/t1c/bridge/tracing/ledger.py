"""Which tensor is what: the part of a recorder that every other writes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from t1c.ir.errors import Problem, UnsupportedError

from ..modules.tied import trains
from .alive import Alive, memory_of
from .modes import Modes
from .names import plain_name
from .record import Call, Value, replaced, values_in, version_of
from .where import Whereabouts

ALWAYS_CONSTANT = frozenset(
    [
        "zeros_like",
        "ones_like",
        "full_like",
        "empty_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "new_tensor",
    ]
)
"""What takes nothing but the shape and dtype of a tensor."""

ARITHMETIC = frozenset(
    [
        "add",
        "sub",
        "rsub",
        "mul",
        "div",
        "rdiv",
        "floor_divide",
        "maximum",
        "minimum",
        "gt",
        "ge",
        "lt",
        "le",
        "eq",
        "ne",
        "and",
        "or",
    ]
)
"""Operations of two operands, either of which may be a number."""
REVERSED = {
    "__radd__": "__add__",
    "__rmul__": "__mul__",
    "__rsub__": "__sub__",
    "rsub": "sub",
}
"""Operations that take their operands the other way round, and do the same with them."""


class Ledger:
    """The values of a run by the identity of their tensors, and the calls in order.

    Args:
        model: what runs.
        keep: whether values that come from the input keep their numbers, which is all activations
            of the run. Without them only their shapes and dtypes are there afterwards.
    """

    def __init__(self, model: nn.Module, keep: bool = True) -> None:
        super().__init__()
        self.keep = keep
        self.calls: list[Call] = []
        self.parameters = {
            p.untyped_storage().data_ptr(): name
            for name, p in model.named_parameters()
            if p.numel()
        }
        kept = (v for m in model.modules() for v in vars(m).values() if isinstance(v, Tensor))
        self.held = {
            t.untyped_storage().data_ptr()
            for t in (*model.parameters(), *model.buffers(), *kept)
            if t.layout is torch.strided and not t.is_meta
        }
        """Where the numbers lie that were there before the run."""
        plain = [
            (f"{path}.{key}".lstrip("."), value)
            for path, module in model.named_modules()
            for key, value in vars(module).items()
            if isinstance(value, Tensor)
        ]
        self.attributes = {id(value): (name, value) for name, value in plain}
        """Tensors that modules hold as plain attributes, by identity."""
        self._modules = dict(model.named_modules())
        self.originals: dict[int, tuple[Tensor, Tensor]] = {}
        """What was written into that was there before the run, and as it was."""
        self._detached: dict[Value, Value] = {}
        self.places: Whereabouts | None = None
        self.turn: int | None = None
        # A compiled module goes by the name of the one inside.
        self._paths = {
            id(m): ".".join(part for part in name.split(".") if part != "_orig_mod")
            for name, m in model.named_modules()
        }
        self._alive = Alive(keep)
        self._scope: list[str] = []
        self._inside = False
        self.modes: Modes | None = None

    def enter(self, tensor: Tensor, number: int) -> Value:
        """Know a tensor that is passed to the model."""
        value = Value(tensor, number=number, turn=self.turn)
        self.know(tensor, value)
        return value

    def value(self, tensor: Tensor) -> Value:
        """What a tensor is; one that nothing is known of is a constant.

        Raises:
            UnsupportedError: it was overwritten after it was made.
        """
        known = self._alive.known(tensor)
        if known is not None:
            if known.version != version_of(tensor):
                raise self.refusal(
                    f"{describe(known.value)} was overwritten in place, through a view or unseen",
                    "tensors that stay as they were made",
                    "Write y = f(x) instead of changing a view of x in place.",
                )
            return known.value
        found = self._behind(tensor)
        value = Value(tensor, trains=trains(tensor)) if found is None else found
        value.attribute = self.attributes.get(id(tensor), ("", None))[0]
        self.know(tensor, value)
        return value

    def note_holders(self) -> None:
        """Note which attributes of modules hold what the run made."""
        for path, module in self._modules.items():
            for key, held in (*vars(module).items(), *module._buffers.items()):
                known = self._alive.known(held) if isinstance(held, Tensor) else None
                if known is not None and known.value.call is not None:
                    known.value.holder = f"{path}.{key}".lstrip(".")

    def know(self, tensor: Tensor, value: Value) -> None:
        """Remember what a tensor is."""
        self._alive.enter(tensor, value)

    def still(self, value: Value) -> Value:
        """A value as ``detach`` gives it: a constant that was trained is one that is not."""
        if not value.trains:
            return value
        return self._detached.setdefault(value, replace(value, trains=False))

    def is_known(self, tensor: Tensor) -> bool:
        """Whether a tensor was noted."""
        return self._alive.known(tensor) is not None

    def value_of(self, tensor: Tensor) -> Value:
        """What a tensor that was noted is, whatever was written into it since."""
        known = self._alive.known(tensor)
        assert known is not None, "an argument is known before it is written into"
        return known.value

    def taken_from(self, value: Value) -> tuple[Tensor, Any] | None:
        """The tensor that a value is a view of, and the index that took it, if it is such."""
        call = value.call
        if call is None or call.name not in ("__getitem__", "select"):
            return None
        base, mine = self._alive.holder(call.inputs[0]), self._alive.holder(value)
        if base is None or mine is None or memory_of(base) != memory_of(mine):
            return None
        if call.name == "__getitem__":
            return base, call.args[1]
        dim, k = call.args[1] % base.ndim, call.args[2]
        return base, (*[slice(None)] * dim, k)

    def outdate(self, written: Tensor) -> None:
        """Have every other tensor that shares memory with one that was written into be refused.

        Views count the writes themselves; what ``.data`` gave does not.
        """
        for other, known in self._alive.sharing(written):
            if other is not written:
                known.version = -1

    def made(self, call: Call, results: Sequence[Any], ports: Iterable[int]) -> tuple[Value, ...]:
        """The values that a call gave, known from now on, by the ports that they have."""
        values = []
        for port, tensor in zip(ports, results, strict=False):
            # A state may be a plain number.
            outlined = isinstance(tensor, Tensor) and not (self.keep or call.constant)
            values.append(Value(self._alive.outline(tensor) if outlined else tensor, call, port))
            if isinstance(tensor, Tensor):
                # No gradient flows through what is not a floating point number.
                values[-1].trains = tensor.is_floating_point() and call.trains
                self.know(tensor, values[-1])
        return tuple(values)

    def note(
        self,
        name: str,
        function: Callable[..., Any],
        args: Any,
        kwargs: Any,
        results: Sequence[Tensor],
        random: bool = False,
    ) -> Call:
        """Write an operation down, and know what it returned."""
        if plain_name(name) in ARITHMETIC:
            args = [_as_tensor(a) for a in args[:2]] + list(args[2:])
            if name in REVERSED:
                args, name = [args[1], args[0], *args[2:]], REVERSED[name]
        given = replaced(tuple(args), Tensor, self.value)
        named = replaced(dict(kwargs), Tensor, self.value)
        call = self.called(name, function, given, named, tuple(values_in((given, named))))
        if random:
            call.random, call.constant = True, False
        call.outputs = self.made(call, results, count())
        return call

    def called(
        self,
        name: str,
        function: Any,
        args: tuple[Any, ...],
        kwargs: Any,
        inputs: tuple[Value, ...],
        **more: Any,
    ) -> Call:
        """A call that belongs here."""
        site, place = self.here()
        scope = self._scope[-1] if self._scope else ""
        call = Call(
            len(self.calls), name, function, args, kwargs, inputs, place, scope, site, self.turn
        )
        for field, content in more.items():
            setattr(call, field, content)
        self.calls.append(call)
        return call

    def here(self) -> tuple[Any, str]:
        """Where the model is; see ``Whereabouts``."""
        assert self.places is not None, "places are known while a model runs"
        site, place = self.places.here()
        scope = self._scope[-1] if self._scope else ""
        if not place:
            return site, f"module {scope!r}" if scope else "the model"
        return site, f"{place}, in module {scope!r}" if scope else place

    def quietly(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run something that is one thing in the record."""
        before, self._inside = self._inside, True
        try:
            return self.aside(run, *args, **kwargs)
        finally:
            self._inside = before

    def aside(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run something of whose operations nothing is told."""
        if self.modes is None:
            return run(*args, **kwargs)
        return self.modes.aside(run, *args, **kwargs)

    def problem(self, found: str, expected: str = "", remedy: str = "") -> Problem:
        """What is wrong, here."""
        return Problem(found, expected, remedy, where=self.here()[1])

    def refusal(self, found: str, expected: str = "", remedy: str = "") -> UnsupportedError:
        """The error to raise, here."""
        return UnsupportedError(self.problem(found, expected, remedy))

    def _behind(self, tensor: Tensor) -> Value | None:
        """The value whose very memory an unknown tensor is, if it is that of one.

        Raises:
            UnsupportedError: it shares the memory of a value in a way that cannot be followed.
        """
        for other, known in self._alive.sharing(tensor):
            same = other.shape == tensor.shape and other.stride() == tensor.stride()
            if same and other.storage_offset() == tensor.storage_offset():
                return self.value(other)
            raise self._unfollowed(describe(known.value))
        if self._alive.outlived(tensor):
            raise self._unfollowed("a value")
        return None

    def _unfollowed(self, what: str) -> UnsupportedError:
        return self.refusal(
            f"a view of {what} that was made where it cannot be followed",
            "views made by torch's own operations",
        )


def describe(value: Value) -> str:
    """A value in the words of an error message."""
    if value.number is not None:
        return f"input {value.number}"
    if value.call is None:
        return f"a constant of shape {value.shape}"
    if value.is_state:
        return f"the state of {value.call.what}"
    return f"what {value.call.what} returned"


def _as_tensor(item: Any) -> Any:
    """A number as a constant, so that steps are alike where one of them starts from a number."""
    return torch.tensor(item) if isinstance(item, bool | int | float) else item
