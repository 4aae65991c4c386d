"""A Linear and the neuron behind it, in training: when they are worked as one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .blocks import at_rest
from .chains import neuron_behind
from .choices import Choice, way_of_affine
from .kernels.observed import is_observed
from .kernels.scan import State
from .kernels.trained_affine import TrainedLayer, train_affine
from .looked import Moment
from .network import Network
from .scanned import ScannedModule
from .state_checks import States
from .values import Values
from .work import is_plain


@dataclass(frozen=True)
class TrainedAffineBlock:
    """A Linear and its neuron, with a gradient.

    Attributes:
        names: of the two nodes.
        layer: the Linear.
        neuron: the name of the neuron.
        how: it is worked, with the coefficients of the neuron.
        choice: whether and why active inputs are added up.
    """

    names: tuple[str, str]
    layer: nn.Linear
    neuron: str
    how: TrainedLayer
    choice: Choice

    serves = True

    @property
    def features(self) -> tuple[int]:
        """The shape of what the neuron is given."""
        return (self.layer.out_features,)

    def run(self, xs: Tensor, state: State, values: Values, moment: Moment) -> tuple[Tensor, State]:
        """Work ``xs`` (T, B, in); the spikes and the neuron's state."""
        state = state or at_rest(xs, self.features, self.how.rule)
        return train_affine(xs, self.layer.weight, self.layer._parameters["bias"], state, self.how)


def find_trained_affine(
    network: Network,
    name: str,
    xs: Tensor,
    state: States,
    keep: Collection[str],
    moment: Moment,
) -> TrainedAffineBlock | None:
    """The block that begins at the Linear ``name``; None if it is not worked as one.

    Args:
        network: whose plan is followed.
        name: of a node that is a ``Linear``.
        xs: what reaches it.
        state: of all nodes, before the first step.
        keep: nodes whose values are wanted, which a block may only end in.
        moment: what the network is now.
    """
    layer = network.node(name)
    assert isinstance(layer, nn.Linear)
    if network.events is False or network.reproducible or xs.ndim != 3:
        return None
    key = ("trained affine", name, xs.shape[2], xs.dtype, tuple(keep))
    behind = moment.once(key, lambda: _behind(network, name, layer, keep))
    if behind is None:
        return None
    neuron, module = behind
    # Where there is no choice something stands in the way of the kernels.
    choice = way_of_affine(layer, xs, network.kernels, network.events)
    if choice.way == "dense" and choice.crossing is None:
        return None
    c = module.laid(torch.Size((layer.out_features,)), xs.dtype, xs.device)
    if c.learning or is_observed(*state.get(neuron, ())):
        return None
    how = TrainedLayer(choice.way == "events", c, module.rule)
    return TrainedAffineBlock((name, neuron), layer, neuron, how, choice)


def _behind(
    network: Network, name: str, layer: nn.Linear, keep: Collection[str]
) -> tuple[str, ScannedModule] | None:
    """The neuron that is worked with a Linear."""
    if type(layer) is not nn.Linear or not is_plain(layer):
        return None
    found = neuron_behind(network, name, keep)
    if found is None or not is_plain(found[1]):
        return None
    return found
