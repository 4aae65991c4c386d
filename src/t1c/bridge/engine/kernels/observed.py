"""Whether somebody looks at every operation of torch's, of which kernels of ours are none."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from t1c.ir.errors import Problem, UnsupportedError

_functorch = torch._C._functorch


def is_observed(*tensors: Tensor) -> bool:
    """Whether only torch's own operations will do, and nothing made of a tensor may be kept.

    So it is under ``torch.jit.trace``, ``make_fx``, ``vmap`` and its like, with dual numbers, in a
    dispatch mode, and with tensors that are more than memory. ``torch.compile`` and
    ``torch.export`` are not asked for here: what they capture holds our operators.
    """
    if torch.compiler.is_compiling():
        return False
    if torch._C._get_tracing_state() is not None or torch._C._len_torch_dispatch_stack():
        return True
    if _functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0:
        return True
    for x in tensors:  # noqa: SIM110 - a generator takes as long as all the rest, in every step
        if type(x) is not Tensor and type(x) is not nn.Parameter:
            return True
    return False


def takes_operators() -> bool:
    """Whether what is captured just now may hold our operators.

    ``torch.compile`` and ``torch.export`` keep them whole; ONNX has no word for them.
    """
    return torch.compiler.is_compiling() and not torch.onnx.is_in_onnx_export()


def keeps_gradients() -> bool:
    """Whether what looks on just now can keep the gradient of a spike: nearly always.

    ``torch.jit.trace`` would keep it as a call of Python, which no file holds, and without it the
    traced network would learn nothing and not say so. For ONNX nobody learns.

    Raises:
        UnsupportedError: torch traces, and not for ONNX.
    """
    if torch._C._get_tracing_state() is None:
        return True
    if torch.onnx.is_in_onnx_export():
        return False
    raise UnsupportedError(
        Problem(
            "torch.jit.trace with gradients on, which cannot keep the gradient of a spike",
            "gradients off",
            "Trace under torch.no_grad(), or use t1c.deploy.to_exported or to_onnx.",
        )
    )
