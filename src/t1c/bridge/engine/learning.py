"""The parameters of a script that learn, and their gradients from what steps bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .kernels.events import weight_gradient
from .kernels.instructions import SCALE
from .kernels.layout import reduced
from .script import Script
from .watched import held

Parts = dict[int, Any]
"""Row -> what a step brings for the parameters there: of a layer its inputs (B, in) and gradients
of its sums (B, out); of a factor its gradient; of neurons that of each coefficient (8, B * size).
"""


class Learning:
    """What learns.

    Args:
        script: the instructions.
        like: any tensor of the dtype that steps are worked in.

    Attributes:
        tensors: the parameters, as they are now.
        rows: the instructions that they belong to.
    """

    def __init__(self, script: Script, like: Tensor) -> None:
        self._script, self._dtype = script, like.dtype
        self.tensors: list[Tensor] = []
        # Row -> module, names, and the place of the first of them among all tensors.
        self._layers: dict[int, tuple[Any, list[str], int]] = {}
        self._factors: dict[int, tuple[Any, list[str], int]] = {}
        self._neurons: dict[int, tuple[Any, list[str], int]] = {}
        for layer, *_, row in script.affine:
            self._note(self._layers, row, layer, ("weight", "bias"))
        scales = {row[3]: number for number, row in enumerate(script.rows) if row[0] == SCALE}
        for module, name, place in script.factors:
            self._note(self._factors, scales[place], module, (name,))
        for _, module, *_, row in script.neurons:
            self._note(self._neurons, row, module, module.exact)
        self.rows = {*self._layers, *self._factors, *self._neurons}
        # Of these the gradient is taken through what is made of them, which is made anew for it.
        made_of = [*self._factors.values(), *self._neurons.values()]
        self._read = [t for _, names, at in made_of for t in self.tensors[at : at + len(names)]]
        self._versions = [t._version for t in self._read]

    def _note(self, kind: dict[int, Any], row: int, module: Any, names: Sequence[str]) -> None:
        found = ((name, held(module, name)) for name in names)
        learns = {name: t for name, t in found if t is not None and t.requires_grad}
        if learns:
            kind[row] = module, list(learns), len(self.tensors)
            self.tensors += learns.values()

    def gradients(self, steps: list[Parts]) -> list[Tensor | None]:
        """The gradients of ``tensors``; None where no step brought anything.

        Raises:
            RuntimeError: a parameter was written to since the steps were taken.
        """
        if [t._version for t in self._read] != self._versions:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an "
                "inplace operation: a parameter of a neuron or a scale, since a step used it"
            )
        found: list[Tensor | None] = [None] * len(self.tensors)
        for row, (_, names, at) in self._layers.items():
            brought = [parts[row] for parts in steps if row in parts]
            if brought:
                x, g = (torch.from_numpy(np.concatenate(a)) for a in zip(*brought, strict=True))
                for n, name in enumerate(names, at):
                    found[n] = weight_gradient(x, g, x.shape[1]) if name == "weight" else g.sum(0)
        for kind, through in (
            (self._factors, self._through_factor),
            (self._neurons, self._through_neuron),
        ):
            for row, (module, names, at) in kind.items():
                brought = [parts[row] for parts in steps if row in parts]
                if brought:
                    total = torch.from_numpy(np.sum(brought, axis=0))
                    own = self.tensors[at : at + len(names)]
                    found[at : at + len(names)] = through(row, module, own, total)
        return found

    def _through_factor(
        self, row: int, module: Any, own: list[Tensor], g: Tensor
    ) -> Sequence[Tensor | None]:
        features = self._script.features[self._script.rows[row][1]]
        with torch.enable_grad():
            factor = module.over(features)
        return torch.autograd.grad(factor, own, g.view(features).sum_to_size(factor.shape))

    def _through_neuron(
        self, row: int, module: Any, own: list[Tensor], g: Tensor
    ) -> Sequence[Tensor | None]:
        features = torch.Size(self._script.features[self._script.rows[row][1]])
        with torch.enable_grad():
            made = module.laid(features, self._dtype, g.device).tensors
        whole = g.view(len(made), -1, *features)
        pairs = [(c, reduced(d, c)) for c, d in zip(made, whole, strict=True) if c.requires_grad]
        ends, grads = zip(*pairs, strict=True)
        return torch.autograd.grad(ends, own, grads, allow_unused=True)
