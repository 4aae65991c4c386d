"""Numbers that a model keeps from call to call where no graph can see them: counters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from t1c.ir.errors import Problem, UnsupportedError

from ..modules.exporting import known_type

_OWN = frozenset(
    ["training", "call_super_init", "dump_patches", "_is_full_backward_hook", "t1c_default"]
)


class Attributes:
    """Watches the plain attributes of all modules of a model, but for those that are nodes."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = [(n, m) for n, m in model.named_modules() if known_type(m) is None]
        self._before: dict[tuple[str, str], Any] | None = None

    def look(self, turn: int) -> None:
        """Compare with what was there after the call before.

        Raises:
            UnsupportedError: a number changes from call to call.
        """
        now = dict(self._numbers())
        if self._before is not None:
            for key, value in now.items():
                before = self._before.get(key, value)
                if type(before) is not type(value) or before != value:
                    path, name = key
                    raise UnsupportedError(
                        Problem(
                            f"the attribute {name!r} is {before!r} after call {turn} and {value!r} "
                            f"after call {turn + 1}",
                            "a module that does the same at every call: nothing tells what such a "
                            "number will change later",
                            "Keep counters outside of the model, or pass them in as an input.",
                            where=f"module {path!r}" if path else "the model",
                        )
                    )
        self._before = now

    def _numbers(self) -> Iterator[tuple[tuple[str, str], Any]]:
        for path, module in self._modules:
            for name, value in module.__dict__.items():
                if name in _OWN:
                    continue
                if isinstance(value, bool | int | float | str):
                    yield (path, name), value
                elif isinstance(value, dict) and not name.startswith("_"):
                    for key, part in value.items():
                        if isinstance(part, bool | int | float | str):
                            yield (path, f"{name}[{key!r}]"), part
