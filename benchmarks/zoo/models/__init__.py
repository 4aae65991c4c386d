"""The models, by framework. Loading them imports the frameworks."""

from __future__ import annotations

import importlib

from ..entry import Entry
from ..stubs import stub

FRAMEWORKS = ("spikingjelly", "norse", "sinabs", "snntorch", "papers")


def entries() -> list[Entry]:
    """Every model of the zoo, framework by framework."""
    # Drawing, downloading and training: none of it computes a model.
    stub("torchvision", "torchvision.models", "torchvision.models.utils", "torchaudio")
    stub("pylab", "torch.utils.tensorboard", "gym", "pytorch_lightning")
    found: list[Entry] = []
    for name in FRAMEWORKS:
        found += importlib.import_module(f"{__name__}.{name}").ENTRIES
    return found
