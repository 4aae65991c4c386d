"""The operations on tensors that a graph can say: torch's name -> what it is.

Names cover every way of writing an operation: ``x + y``, ``x.add(y)``, ``torch.add(x, y)``. The
layers of ``torch.nn.functional`` are the modules of ``torch.nn``, whose exporters say the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir

from .exporting import Shape, array, module_to_node, over_features, refuse
from .modules.linear import NO_BIAS

IsConstant = Callable[[Any], bool]


@dataclass(frozen=True)
class Done:
    """What an operation comes to.

    Attributes:
        inputs: the tensors that matter, in order.
        node: None where the result is the first input itself.
    """

    inputs: Sequence[Tensor]
    node: ir.Node | None = None


Handler = Callable[..., Done]
"""(is_constant, out, *args, **kwargs) -> Done; raises UnsupportedError for what no node says."""


def features(x: Tensor) -> Shape:
    """The shape without the batch."""
    return tuple(x.shape[1:])


# Layers: the arguments of the function -> the module that does the same -------------------------


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _upsample(
    x: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> nn.Module:
    if antialias:
        raise refuse("antialias=True", "antialias=False: no primitive smooths")
    return nn.Upsample(
        _plain(size), _plain(scale_factor), mode, align_corners, recompute_scale_factor
    )


def _softmax(x: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module:
    if dtype not in (None, x.dtype):
        raise refuse(f"dtype={dtype}", "the dtype of the input")
    return nn.Softmax(dim)


MODULES: dict[str, Callable[..., nn.Module]] = {
    "relu": lambda x, inplace=False: nn.ReLU(),
    "leaky_relu": lambda x, negative_slope=0.01, inplace=False: nn.LeakyReLU(negative_slope),
    "elu": lambda x, alpha=1.0, inplace=False: nn.ELU(alpha),
    "gelu": lambda x, *, approximate="none": nn.GELU(approximate),
    "sigmoid": lambda x: nn.Sigmoid(),
    "tanh": lambda x: nn.Tanh(),
    "softmax": _softmax,
    "max_pool2d": lambda x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **k: (
        nn.MaxPool2d(kernel_size, stride or None, padding, dilation, ceil_mode=ceil_mode, **k)
    ),
    "avg_pool2d": lambda x, *args, **kwargs: nn.AvgPool2d(*args, **kwargs),
    "adaptive_avg_pool2d": lambda x, output_size: nn.AdaptiveAvgPool2d(output_size),
    "adaptive_max_pool2d": lambda x, output_size, return_indices=False: nn.AdaptiveMaxPool2d(
        output_size, return_indices
    ),
    "interpolate": _upsample,
}


def _layer(name: str) -> Handler:
    def handle(is_constant: IsConstant, out: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> Done:
        module = MODULES[name](x, *args, **kwargs)
        node = module_to_node(module, features(x), features(out))
        return Done([x], node if isinstance(node, ir.Node) else node.nodes[""])

    return handle


def _linear(
    is_constant: IsConstant, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Done:
    if not is_constant(weight) or (bias is not None and not is_constant(bias)):
        raise refuse("a weight that depends on the input", "a parameter", "Use nn.Linear.")
    if bias is not None:
        return Done([x], ir.Affine(array(weight), array(bias)))
    none = np.zeros(len(weight), array(weight).dtype)
    return Done([x], ir.Affine(array(weight), none, metadata=NO_BIAS))


def _conv2d(
    is_constant: IsConstant,
    out: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Done:
    if not is_constant(weight) or (bias is not None and not is_constant(bias)):
        raise refuse("a weight that depends on the input", "a parameter", "Use nn.Conv2d.")
    made = array(weight)
    shift = np.zeros(len(made), made.dtype) if bias is None else array(bias)
    note = NO_BIAS if bias is None else {}
    return Done([x], ir.Conv2d(made, shift, stride, padding, dilation, groups, metadata=note))


# Arithmetic ------------------------------------------------------------------------------------


def _same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise refuse(
            f"shapes {tuple(a.shape)} and {tuple(b.shape)} are broadcast",
            "equal shapes: a graph adds nothing else",
        )


def _zero(value: Any) -> bool:
    return not isinstance(value, Tensor) and value == 0


def _add(is_constant: IsConstant, out: Tensor, a: Any, b: Any, *, alpha: Any = 1) -> Done:
    if _zero(b):
        return Done([a])
    if not isinstance(b, Tensor) or alpha != 1:
        raise refuse(
            "an addition with alpha" if alpha != 1 else f"an addition with the number {b}",
            "the sum of two values that come from the input",
            "Put a number into the bias of a layer, a factor into x * factor.",
        )
    _same_shape(a, b)
    return Done([a, b], ir.Skip("residual"))


def _mul(is_constant: IsConstant, out: Tensor, a: Any, b: Any) -> Done:
    if is_constant(a) and not is_constant(b):
        a, b = b, a
    if not is_constant(b):
        raise refuse(
            "a product of two values that come from the input",
            "a value times a constant",
            "No primitive multiplies two values; use custom_map for the module that does.",
        )
    if out.shape != a.shape or out.dtype != a.dtype or not isinstance(a, Tensor):
        raise refuse("a factor that changes the shape or the dtype", "one that fits the features")
    factor = b if isinstance(b, Tensor) else torch.as_tensor(b, dtype=a.dtype)
    return Done([a], ir.Scale(over_features(factor, features(a), "a factor")))


def _div(is_constant: IsConstant, out: Tensor, a: Any, b: Any, **mode: Any) -> Done:
    number = not isinstance(b, Tensor) and not mode and b != 0
    if not number or abs(math.frexp(b)[0]) != 0.5:
        raise refuse(
            "a division",
            "a product, or a division by a power of two, which is one exactly",
            "Write x * (1 / c).",
        )
    return _mul(is_constant, out, a, 1 / b)


def _neg(is_constant: IsConstant, out: Tensor, a: Tensor) -> Done:
    return _mul(is_constant, out, a, -1.0)


# Joining, cutting and reshaping ----------------------------------------------------------------


def _cat(is_constant: IsConstant, out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Done:
    axis = dim % out.ndim
    if axis == 0:
        raise refuse(
            "a concatenation along the batch", "a feature dimension", "Use dim=1 or later."
        )
    node: ir.Node = ir.Skip("concatenate") if axis == 1 else ir.Concat(axis - 1)
    return Done(list(tensors), node)


def _cut(is_constant: IsConstant, out: Sequence[Tensor], x: Tensor, *a: Any, **k: Any) -> Done:
    dim = k.get("dim", a[1] if len(a) > 1 else 0) % x.ndim
    if dim == 0:
        raise refuse("a cut along the batch", "a feature dimension", "Use dim=1 or later.")
    return Done([x], ir.ChannelSplit(tuple(part.shape[dim] for part in out), dim - 1))


def _reshape(is_constant: IsConstant, out: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> Done:
    if out.shape == x.shape and out.dtype == x.dtype:
        return Done([x])
    before, after = features(x), features(out)
    joined = len(before) - len(after) + 1
    if out.dtype == x.dtype and out.shape[:1] == x.shape[:1] and after and joined >= 2:
        for start in range(len(after)):
            end = start + joined
            merged = (*before[:start], math.prod(before[start:end]), *before[end:])
            if merged == after:
                last = -1 if end == len(before) else end - 1
                return Done([x], ir.Flatten(start, last))
    raise refuse(
        f"a reshape of {tuple(x.shape)} to {tuple(out.shape)}",
        "one that joins neighbouring feature dimensions and leaves the batch alone",
        "Use nn.Flatten, or x.flatten(1).",
    )


def _same(is_constant: IsConstant, out: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> Done:
    if out.shape != x.shape or out.dtype != x.dtype:
        raise refuse(
            f"{x.dtype} {tuple(x.shape)} becomes {out.dtype} {tuple(out.shape)}",
            "the same shape and dtype",
            "Convert the model and the sample before the export.",
        )
    return Done([x])


def _dropout(
    is_constant: IsConstant,
    out: Tensor,
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Done:
    if training and p:
        raise refuse(
            "a dropout that also drops in eval mode",
            "training=self.training",
            "Use nn.Dropout, or pass training=self.training.",
        )
    return Done([x])


RESHAPES = ("flatten", "view", "reshape", "view_as", "reshape_as", "squeeze")

SAME = (
    "to float double half bfloat16 type type_as cpu cuda contiguous clone detach detach_ "
    "requires_grad_ expand expand_as alias"
)

TABLE: dict[str, Handler] = {
    **{name: _layer(name) for name in MODULES},
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__"), _add),
    **dict.fromkeys(("mul", "multiply", "__mul__", "__rmul__", "__imul__"), _mul),
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__", "__itruediv__"), _div),
    **dict.fromkeys(("neg", "negative", "__neg__"), _neg),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    **dict.fromkeys(("split", "chunk"), _cut),
    **dict.fromkeys(RESHAPES, _reshape),
    **dict.fromkeys(SAME.split(), _same),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d"), _dropout),
    "linear": _linear,
    "conv2d": _conv2d,
}


def handler_of(name: str) -> Handler | None:
    """What to do with an operation of that name; ``relu_`` is what ``relu`` is.

    None for what changes the shape in place: its input is seen when it has that shape already.
    """
    plain = name.removesuffix("_")
    return TABLE.get(name) or (None if plain in RESHAPES else TABLE.get(plain))


NICKNAMES = {
    "add": "add __add__ __radd__ __iadd__ add_",
    "mul": "mul multiply __mul__ __rmul__ __imul__ mul_",
    "cat": "cat concat concatenate",
    "flatten": "flatten view reshape squeeze",
}
PLAIN = {name: plain for plain, names in NICKNAMES.items() for name in names.split()}


def plain_name(name: str) -> str:
    """One name for all ways of writing an operation, fit for a node."""
    return PLAIN.get(name) or name.strip("_") or name
