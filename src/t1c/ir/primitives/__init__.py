"""The primitives, one file per family."""

from .accumulate import Accumulate
from .activation import ELU, GELU, PReLU, ReLU, Sigmoid, Softmax, Tanh
from .border import Input, Output
from .convolution import Conv1d, Conv2d, SepConv2d
from .current import CubaLI, CubaLIF
from .delay import Delay
from .integrate import IF, I
from .leaky import LI, LIF
from .linear import Affine, Linear, Scale, SpikeMode, SpikingAffine
from .merge import Concat, Skip, SkipType
from .normalization import BatchNorm1d, BatchNorm2d, Dropout, LayerNorm
from .pooling import AvgPool2d, MaxPool2d, SumPool2d
from .region import HybridRegion, Identity, NeuronMode
from .reshape import Flatten, Upsample, UpsampleMode
from .split import ChannelSplit
from .threshold import Threshold

__all__ = [
    "ELU",
    "GELU",
    "IF",
    "LI",
    "LIF",
    "Accumulate",
    "Affine",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "ChannelSplit",
    "Concat",
    "Conv1d",
    "Conv2d",
    "CubaLI",
    "CubaLIF",
    "Delay",
    "Dropout",
    "Flatten",
    "HybridRegion",
    "I",
    "Identity",
    "Input",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "NeuronMode",
    "Output",
    "PReLU",
    "ReLU",
    "Scale",
    "SepConv2d",
    "Sigmoid",
    "Skip",
    "SkipType",
    "Softmax",
    "SpikeMode",
    "SpikingAffine",
    "SumPool2d",
    "Tanh",
    "Threshold",
    "Upsample",
    "UpsampleMode",
]
