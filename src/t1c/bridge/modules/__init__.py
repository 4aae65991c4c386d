"""One file per family of primitives: node -> module."""

from ..engine.merging import MergeModule
from . import activation, linear, normalization, pooling, region, reshape, threshold
from .accumulate import AccumulateModule
from .combine import BinaryModule, MatMulModule, WhereModule
from .convolution import SepConv2dModule
from .delay import DelayModule
from .elementwise import ClipModule, PowerModule, ShiftModule, UnaryModule
from .linear import ScaleModule
from .merge import ConcatModule, SkipModule
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
from .reduce import ReduceModule
from .reshape import ReshapeModule, SliceModule, TransposeModule
from .split import SplitModule
from .threshold import ThresholdModule

__all__ = [
    "AccumulateModule",
    "BinaryModule",
    "ClipModule",
    "ConcatModule",
    "CubaLIFModule",
    "CubaLIModule",
    "DelayModule",
    "IFModule",
    "IModule",
    "LIFModule",
    "LIModule",
    "MatMulModule",
    "MergeModule",
    "NeuronModule",
    "PowerModule",
    "ReduceModule",
    "ReshapeModule",
    "ScaleModule",
    "SepConv2dModule",
    "ShiftModule",
    "SkipModule",
    "SliceModule",
    "SplitModule",
    "SumPool2dModule",
    "ThresholdModule",
    "TransposeModule",
    "UnaryModule",
    "WhereModule",
    "activation",
    "linear",
    "normalization",
    "pooling",
    "region",
    "reshape",
    "threshold",
]
