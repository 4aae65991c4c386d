"""The primitives, one file per family."""

from .activation import ELU, GELU, PReLU, ReLU, Sigmoid, Softmax, Tanh
from .border import Input, Output
from .convolution import Conv2d, SepConv2d
from .linear import Affine, SpikeMode, SpikingAffine
from .merge import Skip, SkipType
from .neuron import LIF
from .normalization import BatchNorm1d, BatchNorm2d, Dropout, LayerNorm
from .pooling import AvgPool2d, MaxPool2d
from .region import HybridRegion, NeuronMode
from .reshape import Flatten, Upsample, UpsampleMode

__all__ = [
    "ELU",
    "GELU",
    "LIF",
    "Affine",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "HybridRegion",
    "Input",
    "LayerNorm",
    "MaxPool2d",
    "NeuronMode",
    "Output",
    "PReLU",
    "ReLU",
    "SepConv2d",
    "Sigmoid",
    "Skip",
    "SkipType",
    "Softmax",
    "SpikeMode",
    "SpikingAffine",
    "Tanh",
    "Upsample",
    "UpsampleMode",
]
