"""What a network is at a moment, told in one look: what follows from it is worked out once.

No write to a parameter goes unseen, whatever made it, and no attribute that was set: tensors are
told by their bytes, everything else by being the same object. Nothing of the user's runs between a
look and the end of the chunk that it is for: a network in which something of theirs could is not
looked at, and what follows from it is worked out wherever it is needed.
"""

from __future__ import annotations

import operator
import os
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from t1c import ir

from .kernels.choose import VARIABLE, installed
from .kernels.fingerprint import Fingerprints
from .kernels.observed import is_observed
from .kernels.weights import LARGE, UNSEEN
from .work import is_plain

T = TypeVar("T")
MOST = 4096
"""Things that are kept at most: so many shapes of inputs are seldom met."""
_dict = operator.attrgetter("__dict__")
_learning = operator.attrgetter("requires_grad")
_marks = operator.attrgetter("dtype", "shape")


class Moment:
    """A look at a network, for as long as nothing of the user's runs.

    Args:
        number: the same for all looks at which nothing had changed; None where it is not told.
        made: what was worked out, by what it is, with the number of the look.
        held: weight -> its fingerprint, by the number of the object.
        unseen: the numbers of weights that were not looked at. What is worked out of what they hold
            has to be told from that.
        learns: whether a parameter or buffer wants a gradient.
        options: on what it depends besides how a network is worked.
    """

    def __init__(
        self,
        number: int | None,
        made: dict[Any, tuple[int, Any]],
        held: Mapping[int, bytes],
        unseen: Collection[int],
        learns: bool,
        options: tuple[Any, ...],
    ) -> None:
        self.number, self._made, self.held, self.unseen = number, made, held, unseen
        self.learns, self._options = learns, options

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What ``make`` gives, which is called again only if the network has changed.

        Args:
            key: what it is, with all that it depends on besides the network.
            make: works it out.
        """
        if self.number is None:
            return make()
        key = self._options, key
        known = self._made.get(key)
        if known is not None and known[0] == self.number:
            found: T = known[1]
            return found
        value = make()
        if len(self._made) >= MOST:
            self._made.clear()
        self._made[key] = self.number, value
        return value


class Looks:
    """Looks at the modules of a network, and remembers how it found them.

    Args:
        modules: by name, looked up in every look.
        slots: node -> the name that its module has.
    """

    def __init__(self, modules: Mapping[str, nn.Module | None], slots: Mapping[str, str]) -> None:
        self._modules, self._slots = modules, slots
        self._lock = threading.Lock()
        self._number = 0
        self._made: dict[Any, tuple[int, Any]] = {}
        self._tree: _Tree | None = None

    def take(self, like: Tensor, *options: Any) -> Moment:
        """Look, on behalf of whoever works ``like`` next.

        Args:
            like: an input.
            options: how the network is worked.
        """
        tops = list(map(self._modules.__getitem__, self._slots.values()))
        if not self._tells(like):
            return Moment(None, {}, {}, (), _learn(tops), ())
        options = (*options, like.dtype, torch.get_num_threads(), os.environ.get(VARIABLE))
        with self._lock:
            tree = self._tree
            if tree is None or not tree.same(tops):
                tree = self._tree = _Tree(tops)
                self._number += 1
                self._made.clear()
            elif tree.changed():
                self._number += 1
                self._made.clear()
            number = self._number if tree.told else None
            learns = tree.learns()
            return Moment(number, self._made, tree.held, tree.unseen, learns, options)

    @staticmethod
    def _tells(like: Tensor) -> bool:
        return (
            not torch.compiler.is_compiling()
            and like.is_cpu
            and installed("numba")
            and not torch.is_autocast_enabled("cpu")
            and not is_observed(like)
        )


def _learn(tops: Iterable[nn.Module | None]) -> bool:
    """Whether a parameter or buffer of some modules wants a gradient."""
    if not torch.is_grad_enabled():
        return False
    own = (t for top in tops if top is not None for t in (*top.parameters(), *top.buffers()))
    return any(t.requires_grad for t in own)


class _Tree:
    """Modules with their parts, as they were found.

    Attributes:
        told: whether a look tells all: no module is the user's, and none has hooks.
        held: large tensor -> its fingerprint.
        unseen: the numbers of tensors that are not looked at: see ``_unseen``.
    """

    def __init__(self, tops: list[nn.Module | None]) -> None:
        self._tops = tops
        self._all = [inner for top in tops if top is not None for inner in top.modules()]
        self._kinds = list(map(type, self._all))
        self._owns = list(map(_dict, self._all))
        # The nodes that modules keep say what is done, and their fields may be set.
        own = (v for own in self._owns for v in own.values())
        self._nodes = [v.__dict__ for v in own if isinstance(v, ir.Node)]
        self._attributes = [v for own in (*self._owns, *self._nodes) for v in own.values()]
        self._homes = [own[kind] for own in self._owns for kind in ("_parameters", "_buffers")]
        self._children = [own["_modules"] for own in self._owns]
        self._parts = [part for home in self._children for part in home.values()]
        self._found = [t for home in self._homes for t in home.values()]
        loose = [v for v in self._attributes if isinstance(v, Tensor)]
        self._tensors: list[Tensor] = [t for t in (*self._found, *loose) if t is not None]
        self._hooks = RemovableHandle.next_id
        self._plain = all(map(is_plain, self._all))
        self.told = self._plain and self._tells()
        self.held: dict[int, bytes] = {}
        self.unseen: frozenset[int] = frozenset()
        if self.told:
            self._lie = self._lying()
            self.unseen = self._unseen()
            self._seen = [t for t in self._tensors if id(t) not in self.unseen]
            self._prints = Fingerprints(self._seen)
            self._taken = self._prints.take()
            self._hold()

    def _tells(self) -> bool:
        known = all(kind.__module__.startswith(("t1c.", "torch.nn.")) for kind in self._kinds)
        plain = all(type(t) in (Tensor, nn.Parameter) and t.is_cpu for t in self._tensors)
        return known and plain and not is_observed(*self._tensors)

    def _lying(self) -> tuple[list[Any], ...]:
        """Where and how the tensors lie in memory."""
        return (
            list(map(Tensor.data_ptr, self._tensors)),
            list(map(_marks, self._tensors)),
            list(map(Tensor.stride, self._tensors)),
        )

    def same(self, tops: list[nn.Module | None]) -> bool:
        """Whether all objects are the same ones, and lie where they did."""
        if (not self._plain or RemovableHandle.next_id != self._hooks) and not self._still():
            return False
        owns = self._owns
        return (
            _alike(tops, self._tops)
            and list(map(type, self._all)) == self._kinds
            and _alike(list(map(_dict, self._all)), owns)
            and _alike([v for o in (*owns, *self._nodes) for v in o.values()], self._attributes)
            and _alike([part for home in self._children for part in home.values()], self._parts)
            and _alike([t for home in self._homes for t in home.values()], self._found)
            and (not self.told or self._lying() == self._lie)
        )

    def _still(self) -> bool:
        """Whether there are hooks, or none, as before; some may have come and gone."""
        self._hooks = RemovableHandle.next_id
        return all(map(is_plain, self._all)) == self._plain

    def changed(self) -> bool:
        """Whether tensors hold something else than at the last look."""
        if not self.told:
            return False
        taken = self._prints.take()
        if (taken == self._taken).all():
            return False
        self._taken = taken
        self._hold()
        return True

    def learns(self) -> bool:
        """Whether a gradient is wanted by one of the tensors."""
        return torch.is_grad_enabled() and any(map(_learning, self._tensors))

    def _hold(self) -> None:
        self.held = {
            id(t): self._prints.of(number, self._taken)
            for number, t in enumerate(self._seen)
            if t.numel() >= LARGE
        }

    def _unseen(self) -> frozenset[int]:
        """The weights that are so large that a look at them takes longer than much that is done.

        Those of Linears and of nothing else: most often such a weight is used as it lies. Who makes
        something of one looks at it.
        """
        weights = Counter(
            id(m._parameters.get("weight")) for m in self._all if type(m) is nn.Linear
        )
        found = Counter(id(t) for t in self._tensors if t.numel() >= UNSEEN)
        return frozenset(number for number, count in found.items() if weights[number] == count)


def _alike(these: list[Any], those: list[Any]) -> bool:
    """Whether the same objects are in both."""
    return len(these) == len(those) and all(map(operator.is_, these, those))
