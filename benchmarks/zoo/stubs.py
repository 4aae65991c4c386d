"""Packages that a framework imports and no model computes with."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

from torch import nn


class _Anything(types.ModuleType):
    """A module in which every name is there and does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        # Lightning's module adds training to torch's, and models derive from it.
        return nn.Module if name == "LightningModule" else lambda *_, **__: None


def stub(*names: str) -> None:
    """Puts an empty module where a package is not installed, and none where it is."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            module = _Anything(name)
            # A package, or its own modules could not be imported from it.
            module.__path__ = []
            sys.modules[name] = module
