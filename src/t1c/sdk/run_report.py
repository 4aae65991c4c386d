"""From file to file: ``t1c run``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.atomic import replacing
from t1c.ir.errors import InputError, Problem

from .jsonable import jsonable
from .runner import DType, RunResult, import_torch, run
from .samples import read_samples

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class RunReport:
    """What was run, how, and where the results are.

    Attributes:
        model: the ``.t1c`` file.
        data: the ``.npz`` file with the samples.
        results: the ``.npz`` file that was written.
        batch_size: samples at once.
        dtype: of the arithmetic.
        result: the results themselves.
    """

    model: str
    data: str
    results: str
    batch_size: int
    dtype: DType
    result: RunResult

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it.

        Keys: ``model``, ``data``, ``results`` (paths), ``samples``, ``steps``, ``batch_size``,
        ``dtype``, ``seconds`` (in all), ``seconds_per_sample``, ``mean_output`` (an object by
        Output name: mean per step and neuron, or per neuron at the last step if it is final),
        ``correct`` and ``accuracy`` (null without labels)
        and ``arrays`` (an object: name in the results -> shape). Keys may be added in later
        versions, none will change its meaning.
        """
        result = self.result
        plain: dict[str, Any] = jsonable(
            {
                "model": self.model,
                "data": self.data,
                "results": self.results,
                "samples": result.samples,
                "steps": result.steps,
                "batch_size": self.batch_size,
                "dtype": self.dtype,
                "seconds": result.seconds,
                "seconds_per_sample": result.seconds / result.samples,
                "mean_output": result.mean_output,
                "correct": result.correct,
                "accuracy": result.accuracy,
                "arrays": {name: array.shape for name, array in result.arrays().items()},
            }
        )
        return plain


def run_file(
    model: StrPath,
    data: StrPath,
    output: StrPath | None = None,
    *,
    steps: int | None = None,
    batch_size: int = 256,
    dtype: DType = "float32",
    keep_steps: bool = False,
    allow_nonfinite: bool = False,
    progress: Callable[[float, int], object] | None = None,
) -> RunReport:
    """Run a ``.t1c`` file on the samples of an ``.npz`` file and write the results to another.

    The results appear whole or not at all. ``RunResult.arrays`` says what they are.

    Args:
        model: the network.
        data: the samples; see ``t1c.sdk.samples``.
        output: where the results go; ``<stem of data>_results.npz`` in the working folder if None.
        steps: how many steps to show inputs without a time axis; see ``read_samples``.
        batch_size: how many samples at once; it changes speed and memory, not the results.
        dtype: of the arithmetic: float64, float32 or bfloat16.
        keep_steps: write the output of every step too, not only its sum over time.
        allow_nonfinite: accept NaN and infinite numbers in model and data.
        progress: called now and then with the samples done (may have a fraction) and their number.

    Raises:
        T1CError: the model, the data, or the two together are not valid, or torch is missing.
        OSError: a file is not there, or the results cannot be written.

    Example:
        >>> run_file("model.t1c", "digits.npz").result.accuracy  # doctest: +SKIP
        0.9911111111111112
    """
    import_torch()  # before anything is read or made, so that it fails first
    target = Path(f"{Path(data).stem}_results.npz" if output is None else output)
    _refuse_to_replace(target, model, data)
    graph = ir.read(model, allow_nonfinite=allow_nonfinite)
    samples = read_samples(data, graph, steps=steps, allow_nonfinite=allow_nonfinite)
    tell = None if progress is None else lambda done: progress(done, samples.count)
    with replacing(target) as temporary:
        result = run(
            graph,
            samples,
            batch_size=batch_size,
            dtype=dtype,
            keep_steps=keep_steps,
            progress=tell,
        )
        arrays: dict[str, Any] = result.arrays()
        with open(temporary, "wb") as file:  # given a path, NumPy would add .npz to it
            np.savez_compressed(file, **arrays)
    return RunReport(os.fspath(model), os.fspath(data), str(target), batch_size, dtype, result)


def _refuse_to_replace(target: Path, *sources: StrPath) -> None:
    for source in sources:
        if target.exists() and os.path.exists(source) and target.samefile(source):
            raise InputError(
                Problem(
                    f"the results would replace {os.fspath(source)!r}, from which they are made",
                    "another file",
                    "Pass another output (--output).",
                )
            )
