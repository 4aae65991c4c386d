"""One file per family of primitives: node -> module."""

from . import activation, linear, normalization, pooling, region, reshape, threshold
from .accumulate import AccumulateModule
from .convolution import SepConv2dModule
from .delay import DelayModule
from .linear import ScaleModule
from .merge import ConcatModule, MergeModule, SkipModule
from .neuron import (
    CubaLIFModule,
    CubaLIModule,
    IFModule,
    IModule,
    LIFModule,
    LIModule,
    NeuronModule,
)
from .pooling import SumPool2dModule
from .split import SplitModule
from .threshold import ThresholdModule

__all__ = [
    "AccumulateModule",
    "ConcatModule",
    "CubaLIFModule",
    "CubaLIModule",
    "DelayModule",
    "IFModule",
    "IModule",
    "LIFModule",
    "LIModule",
    "MergeModule",
    "NeuronModule",
    "ScaleModule",
    "SepConv2dModule",
    "SkipModule",
    "SplitModule",
    "SumPool2dModule",
    "ThresholdModule",
    "activation",
    "linear",
    "normalization",
    "pooling",
    "region",
    "reshape",
    "threshold",
]
