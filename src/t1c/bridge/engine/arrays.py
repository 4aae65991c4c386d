"""NumPy arrays that a caller passes in the place of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t1c.ir.errors import InputError, Problem


def as_tensors(x: Any, like: Tensor | None) -> Any:
    """``x`` with its NumPy arrays, and those in a dict or tuple, as tensors.

    They are cast to the dtype of ``like`` and moved to its device; None: torch's default dtype,
    on the CPU. Whatever else is there is left for the checks behind.

    Raises:
        InputError: an array holds something other than real numbers.
    """
    if isinstance(x, np.ndarray):
        return _tensor(x, like)
    if isinstance(x, Mapping):
        return {name: as_tensors(value, like) for name, value in x.items()}
    if isinstance(x, tuple | list):
        return type(x)(as_tensors(value, like) for value in x) if type(x) in (tuple, list) else x
    return x


def _tensor(array: np.ndarray[Any, Any], like: Tensor | None) -> Tensor:
    if array.dtype.kind not in "biuf":
        raise InputError(Problem(f"an array of dtype {array.dtype}", "real numbers"))
    if array.ndim and len(array) > 1 and array.strides[0] == 0:
        # What stands still over time takes the memory of one step.
        one = _tensor(array[0], like)
        return one.expand(len(array), *one.shape)
    dtype = torch.get_default_dtype() if like is None else like.dtype
    # A copy that torch can take, whatever the array's byte order and strides; what torch has no
    # counterpart for, in NumPy's widest numbers. The caller's array is shared where it can be.
    usual = array.dtype.isnative and array.flags.c_contiguous and array.flags.writeable
    if not usual or array.dtype.name not in ("float32", "float64", "float16"):
        array = np.array(array, np.float64 if dtype == torch.float64 else np.float32, order="C")
    return torch.from_numpy(array).to(dtype=dtype, device=None if like is None else like.device)
