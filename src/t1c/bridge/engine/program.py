"""A list of instructions, carried out: a loop through time, or one step of a whole graph.

What is written down once: which instruction follows which, and where values lie relative to each
other. What is looked up in every call: where weights, coefficients and states are now, so that a
parameter that was written to, replaced or moved is the one that counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import contains, is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.hooks import RemovableHandle

from .frame import Frame, Frames, parameters_of
from .kernels.threads import share
from .looked import Moment
from .script import Script
from .state_checks import States, fitting
from .unchanged import Unchanged
from .work import hooks_of, wrappers_of

COST = 64
"""What one element of a step costs, in elements of a plain loop."""
SIDE_BY_SIDE = 32
"""Samples that are worked side by side at least, where there are so many."""


class Program:
    """What carries a script out.

    Args:
        script: the instructions.
        modules: the modules as they are now, looked up in every call.
        slots: node -> the name of its module in there.
        in_order: an input of zero adds nothing, whatever its weight is.
    """

    def __init__(
        self,
        script: Script,
        modules: Mapping[str, nn.Module | None],
        slots: Mapping[str, str],
        in_order: bool,
    ) -> None:
        self.modules, self.script = modules, script
        parameters = parameters_of(script)
        self.frames = Frames(script, parameters, in_order=in_order)
        self.taped = Frames(script, parameters, taped=True, in_order=in_order)
        self.names, self.feeds, self.kept = script.names, script.feeds, script.kept
        self.neurons, self.before = script.neurons, script.before
        self.sizes = self.frames.sizes
        self.work = COST * sum(self.sizes[row[1]] for row in script.rows)
        self._layers = [layer for layer, *_ in script.affine]
        looked_at = script.modules
        self._slots = [slots[name] for name in looked_at]
        self._looked_at = [*looked_at.values()]
        self._kinds = [*map(type, self._looked_at)]
        self.hooks = [hooks for module in looked_at.values() for hooks in hooks_of(module)]
        self.hooked = -1
        self.written = Unchanged(script.written) if script.written else None
        wrappers = [pair for m in self._looked_at for pair in wrappers_of(m)]
        self._where, self._wrappers = [own for own, _ in wrappers], [name for _, name in wrappers]
        self.dropouts = [m for m in looked_at.values() if isinstance(m, _DropoutNd)]
        self.feeding = {place: key for key, place in self.feeds.items()}
        # Where values are made that are wanted, and states, in the order of what is returned.
        self.made = [p for p in dict.fromkeys(self.kept.values()) if p not in self.feeding]
        own = [place for _, _, v, i, _, _ in self.neurons for place in (i, v) if place >= 0]
        self.states = [*own, *self.before.values()]

    def current(self) -> bool:
        """Whether the modules are still the ones that were looked at, and of the same classes.

        And whether those that were written down by what they do still say the same.
        """
        # By map, here and below: in every step a loop of Python's would take longer than the sums.
        now, looked_at = map(self.modules.get, self._slots), self._looked_at
        same = all(map(is_, now, looked_at)) and all(map(is_, map(type, looked_at), self._kinds))
        return same and (self.written is None or self.written.holds())

    def suits(self) -> bool:
        """Whether the modules do nothing but what the instructions say."""
        # Looking at every hook takes longer than anything else; torch numbers them.
        if self.hooked != RemovableHandle.next_id:
            if any(self.hooks):
                return False
            self.hooked = RemovableHandle.next_id
        if any(map(contains, self._where, self._wrappers)):
            return False
        return not any(dropout.training for dropout in self.dropouts)

    def run(
        self,
        feeds: Mapping[str, Tensor],
        state: States,
        like: Tensor,
        lead: tuple[int, ...],
        moment: Moment | None = None,
    ) -> tuple[dict[str, Tensor], States] | None:
        """All steps.

        Args:
            feeds: node -> what enters (*lead, *features).
            state: the state before the first step, checked for names.
            like: any input, which tells the dtype.
            lead: (T, B), or (B,) for one step.
            moment: what the network is now, if that is known.

        Returns:
            (kept values (*lead, *features), the state after the last step); None where a tensor
            is not what instructions need: of another shape or dtype, laid out otherwise in
            memory, or a weight that is not finite.
        """
        steps, batch = lead if len(lead) == 2 else (1, lead[0])
        if moment is None or any(id(layer.weight) in moment.unseen for layer in self._layers):
            frame = self.frames.find(like, lead)
        else:
            frame = moment.once(("frame", self, lead), lambda: self.frames.find(like, lead))
        if frame is None:
            return None
        addresses = frame.addresses.copy()
        alive: list[Tensor] = []
        for node, place in self.feeds.items():
            x = feeds[node].contiguous()
            if x.dtype != like.dtype or not x.is_cpu:
                return None
            if x.numel() != steps * batch * self.sizes[place]:
                return None
            alive.append(x)
            addresses[place] = x.data_ptr()
        values: dict[str, Tensor] = {}
        made: dict[int, Tensor] = {}
        for name, place in self.kept.items():
            if place in self.feeding:
                values[name] = feeds[self.feeding[place]].reshape(frame.kept[name])
                continue
            if place not in made:
                blank = frame.blank.get(place)
                made[place] = (
                    like.new_empty(frame.shapes[place]) if blank is None else blank.clone()
                )
                addresses[place] = made[place].data_ptr()
            y, shape = made[place], frame.kept[name]
            values[name] = y if y.shape == shape else y.view(shape)
        after: States = {}
        for name, _, v, i, _, _ in self.neurons:
            given, shape = state.get(name), frame.states[v]
            own: tuple[Tensor, ...]
            count = 1 if i < 0 else 2
            if given is None:
                own = tuple([frame.blank[v].clone() for _ in range(count)])
            else:
                own = tuple([fresh(name, part, like, shape) for part in given[:count]])
            addresses[v] = own[-1].data_ptr()
            if i >= 0:
                addresses[i] = own[0].data_ptr()
            after[name] = own
        for name, _, places, _ in self.script.memories:
            parts: Sequence[Tensor | None] = state.get(name) or (None,) * len(places)
            variables = zip(places, parts, strict=False)
            after[name] = tuple([_carried(name, frame, at, v, like) for at, v in variables])
            for at, variable in zip(places, after[name], strict=True):
                addresses[at] = variable.data_ptr()
        for name, place in self.before.items():
            kept = state.get(name)
            sent = None if kept is None else kept[-1]
            now = fresh(name, sent, like, frame.states[place])
            addresses[place] = now.data_ptr()
            after[name] = (*after.get(name, ()), now)
        self.launch(frame, np.array(addresses, np.int64), steps, batch)
        return values, after

    def launch(self, frame: Frame, addresses: Any, steps: int, batch: int) -> None:
        """Carry the instructions out where everything lies at ``addresses``."""
        share(
            frame.kernel,
            batch,
            self.work * steps * batch,
            steps,
            frame.program,
            addresses,
            frame.places,
            frame.empty,
            frame.elements,
            multiple=SIDE_BY_SIDE,
        )

    def wants_gradient(self, feeds: Mapping[str, Tensor], state: States) -> bool:
        """Whether a gradient flows into anything that the instructions take."""
        if not torch.is_grad_enabled():
            return False
        for x in feeds.values():
            if x.requires_grad:
                return True
        if self.frames.learn():
            return True
        if self.written is not None and any(t.requires_grad for t in self.written.tensors):
            return True
        return any(v.requires_grad for own in state.values() for v in own)


def _carried(name: str, frame: Frame, place: int, v: Tensor | None, like: Tensor) -> Tensor:
    """A copy of a state variable, or of what it is before the first step."""
    if v is None:
        return frame.blank[place].clone()
    return fresh(name, v, like, frame.states[place])


def fresh(name: str, v: Tensor | None, like: Tensor, shape: torch.Size) -> Tensor:
    """A copy of a state variable of node ``name``, to be worked in place; zeros for None.

    Raises:
        InputError: it has another shape or dtype than it would have after a step.
    """
    if v is None:
        return like.new_zeros(shape)
    if v.shape != shape or v.dtype != like.dtype or not v.is_cpu:
        v = fitting(name, v, like.new_empty(1).expand(shape), shape)
    return v.clone() if v.is_contiguous() else v.contiguous()
