"""One file per family of primitives: node -> module."""

from . import activation, linear, normalization, pooling, region, reshape
from .convolution import SepConv2dModule
from .merge import SkipModule
from .neuron import LIFModule

__all__ = [
    "LIFModule",
    "SepConv2dModule",
    "SkipModule",
    "activation",
    "linear",
    "normalization",
    "pooling",
    "region",
    "reshape",
]
