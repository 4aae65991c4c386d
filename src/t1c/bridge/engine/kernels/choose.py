"""Which kernels are used: decided here and nowhere else."""

from __future__ import annotations

import functools
import importlib.util
import os

import torch
from torch import Tensor

from t1c.ir.errors import InputError, Problem, UnsupportedError

KERNELS = ("torch", "numba", "triton")
VARIABLE = "T1C_KERNELS"
"""The environment variable that forces one kind of kernels everywhere."""

_DTYPES = {
    "numba": (torch.float32, torch.float64),
    "triton": (torch.float16, torch.bfloat16, torch.float32, torch.float64),
}
_DEVICES = {"numba": "cpu", "triton": "cuda"}


@functools.cache
def installed(name: str) -> bool:
    """Whether the compiler of these kernels can be imported; the plain definition needs none."""
    return name == "torch" or importlib.util.find_spec(name) is not None


def check_name(wanted: str | None) -> None:
    """Refuse kernels that do not exist.

    Raises:
        InputError: there are none of that name.
    """
    if wanted is not None and wanted not in KERNELS:
        raise InputError(Problem(repr(wanted), f"one of {', '.join(KERNELS)}", field="kernels"))


def choose(x: Tensor, wanted: str | None = None) -> str:
    """The kernels for a tensor: 'numba' on a CPU, 'triton' on a GPU, 'torch' where neither serves.

    Args:
        x: what is worked on; its device and dtype decide.
        wanted: what the executor was told to use, which goes before the environment variable
            ``T1C_KERNELS``; None: whatever is fastest. Half types on a CPU always take the plain
            definition.

    Raises:
        InputError: there are no kernels of that name.
        UnsupportedError: those that were asked for are not installed, or not for this device.
    """
    # In this order because every step asks, and to get a variable that is not there takes long.
    forced = wanted or (VARIABLE in os.environ and os.environ[VARIABLE]) or None
    if forced is None:
        name = "numba" if x.is_cpu else "triton"
        suits = x.dtype in _DTYPES[name] and (x.is_cpu or x.is_cuda) and installed(name)
        return name if suits else "torch"
    kind = x.device.type
    check_name(forced)
    if not installed(forced):
        raise UnsupportedError(
            Problem(
                f"kernels={forced!r}, and {forced} is not installed",
                "an installed compiler",
                f"pip install {forced}, or leave kernels and {VARIABLE} out.",
            )
        )
    if forced != "torch" and kind != _DEVICES[forced] and not _interpreted(forced):
        raise UnsupportedError(
            Problem(
                f"kernels={forced!r} on a tensor on {kind}",
                f"a tensor on {_DEVICES[forced]}",
                f"Move the executor and its input, or leave kernels and {VARIABLE} out.",
            )
        )
    return forced if forced == "torch" or x.dtype in _DTYPES[forced] else "torch"


def _interpreted(name: str) -> bool:
    """Whether Triton only acts its kernels out in Python, which is how they are tested on a CPU."""
    return name == "triton" and os.environ.get("TRITON_INTERPRET") == "1"
