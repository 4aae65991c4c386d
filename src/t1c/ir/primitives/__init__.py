"""The primitives, one file per family."""

from .accumulate import Accumulate
from .activation import ELU, GELU, LogSoftmax, PReLU, ReLU, Sigmoid, Softmax, Tanh
from .border import Input, Output
from .combine import Binary, MatMul, Where
from .convolution import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, SepConv2d
from .current import CubaLI, CubaLIF
from .delay import Delay
from .elementwise import Clip, Power, Shift, Unary
from .integrate import IF, I
from .leaky import LI, LIF
from .linear import Affine, Linear, Scale, SpikeMode, SpikingAffine
from .merge import Concat, Skip, SkipType
from .normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, Dropout, GroupNorm, LayerNorm
from .pooling import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d, SumPool2d
from .reduce import Reduce
from .region import HybridRegion, Identity, NeuronMode
from .reshape import Flatten, Reshape, Slice, Transpose, Upsample, UpsampleMode
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
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Binary",
    "ChannelSplit",
    "Clip",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "CubaLI",
    "CubaLIF",
    "Delay",
    "Dropout",
    "Flatten",
    "GroupNorm",
    "HybridRegion",
    "I",
    "Identity",
    "Input",
    "LayerNorm",
    "Linear",
    "LogSoftmax",
    "MatMul",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "NeuronMode",
    "Output",
    "PReLU",
    "Power",
    "ReLU",
    "Reduce",
    "Reshape",
    "Scale",
    "SepConv2d",
    "Shift",
    "Sigmoid",
    "Skip",
    "SkipType",
    "Slice",
    "Softmax",
    "SpikeMode",
    "SpikingAffine",
    "SumPool2d",
    "Tanh",
    "Threshold",
    "Transpose",
    "Unary",
    "Upsample",
    "UpsampleMode",
    "Where",
]
