"""Whether two files do the same: ``t1c verify``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from t1c import nir

from .runner import DType, import_torch
from .samples import read_samples

if TYPE_CHECKING:
    from t1c.bridge import Report

StrPath = str | os.PathLike[str]


def verify_files(
    a: StrPath,
    b: StrPath,
    data: StrPath,
    *,
    steps: int | None = None,
    dtype: DType = "float32",
    tolerance: float | None = None,
    outputs_only: bool = False,
    dt: float | None = None,
) -> Report:
    """Run two networks on the samples of an ``.npz`` file and say whether they agree.

    Args:
        a: a ``.t1c`` or ``.nir`` file.
        b: the other.
        data: the samples, which must fit ``a``; see ``t1c.sdk.samples``.
        steps: how many steps to show inputs without a time axis; see ``read_samples``.
        dtype: of the arithmetic: float64, float32 or bfloat16.
        tolerance: as for ``bridge.verify``.
        outputs_only: compare outputs alone, not nodes of the same name.
        dt: seconds in one step, for ``.nir`` files that do not say it; None: as the other file
            records it.

    Raises:
        T1CError: a file, the data, or the three together are not valid, or torch is missing.
        OSError: a file is not there.

    Example:
        >>> bool(verify_files("a.t1c", "b.t1c", "digits.npz"))  # doctest: +SKIP
        True
    """
    torch = import_torch()
    from t1c import bridge

    dt = nir.counterpart_dt(a, b, dt)
    inputs = read_samples(data, nir.read_graph(a, dt), steps=steps).inputs
    # One input needs no name, and may have another in the other file.
    xs = next(iter(inputs.values())) if len(inputs) == 1 else inputs
    return bridge.verify(
        a,
        b,
        xs,
        dtype=getattr(torch, dtype),
        tolerance=tolerance,
        nodes=not outputs_only,
        dt=dt,
    )
