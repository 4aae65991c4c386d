"""From file to file: ``t1c run``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t1c import nir
from t1c.events.frames import Polarity
from t1c.ir.atomic import replacing
from t1c.ir.errors import InputError, Problem

from .jsonable import jsonable
from .recordings import read_data
from .report import Facts, Part, Report
from .runner import DType, Runner, RunResult, import_bridge
from .samples import held_otherwise

StrPath = str | os.PathLike[str]
Stage = Callable[[str], object]
"""Called with what is being done now, in a few words."""


@dataclass(frozen=True, repr=False)
class RunReport(Report):
    """What was run, how, and where the results are.

    Attributes:
        model: the ``.t1c`` or ``.nir`` file.
        data: the ``.npz`` file with the samples.
        results: the ``.npz`` file that was written.
        batch_size: samples at once.
        dtype: of the arithmetic.
        result: the results themselves.
        loading: how many seconds it took to load PyTorch and the two files.
        notes: what was done though one might expect something else: sequences for Inputs that
            hold one value.
    """

    model: str
    data: str
    results: str
    batch_size: int
    dtype: DType
    result: RunResult
    loading: float = 0.0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it.

        Keys: ``model``, ``data``, ``results`` (paths), ``samples``, ``steps``, ``batch_size``,
        ``dtype``, ``seconds`` (of running), ``seconds_per_sample``, ``loading_seconds`` and
        ``compiling_seconds`` (before that), ``mean_output`` (an object by
        Output name: mean per step and neuron, or per neuron at the last step if it is final),
        ``correct`` and ``accuracy`` (null without labels)
        ``arrays`` (an object: name in the results -> shape) and ``notes``. Keys may be added in
        later versions, none will change its meaning.
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
                "loading_seconds": self.loading,
                "compiling_seconds": result.compiling,
                "mean_output": result.mean_output,
                "correct": result.correct,
                "accuracy": result.accuracy,
                "arrays": {name: array.shape for name, array in result.arrays().items()},
                "notes": self.notes,
            }
        )
        return plain

    def parts(self) -> list[Part]:
        """What the run came to, a line each."""
        result = self.result
        each = format_duration(result.seconds / result.samples)
        before = f"{format_duration(self.loading)} loading PyTorch and the files"
        facts = [
            ("samples", f"{result.samples:,}, {result.steps:,} steps each, in {self.dtype}"),
            ("time", f"{format_duration(result.seconds)}, {each} per sample"),
            ("before that", f"{before}, {format_duration(result.compiling)} compiling"),
        ]
        if result.accuracy is not None:
            right = f"{result.accuracy:.2%}, {result.correct:,} of {result.samples:,} right"
            facts.append(("accuracy", right))
        arrays = ", ".join(f"{name} {array.shape}" for name, array in result.arrays().items())
        facts += [
            ("mean output", f"{_means(result)} {_per(result)}"),
            ("results", f"{self.results}: {arrays}"),
            *(("note", note) for note in self.notes),
        ]
        return [Facts(tuple(facts))]


def _means(result: RunResult) -> str:
    means = result.mean_output
    return ", ".join(f"{m:.4g}" if len(means) == 1 else f"{n} {m:.4g}" for n, m in means.items())


def _per(result: RunResult) -> str:
    """What the mean outputs are per."""
    if not result.answer:
        return "per step and neuron"
    return "per neuron, at the last step" + (" (final) or per step" if result.out_sum else "")


def format_duration(seconds: float) -> str:
    """Seconds, or milliseconds where that reads better."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


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
    dt: float | None = None,
    polarity: Polarity | None = None,
    sample: int | None = None,
    progress: Callable[[float, int], object] | None = None,
    stage: Stage | None = None,
) -> RunReport:
    """Run a network on a file of samples, or a recording, and write the results to another.

    The results appear whole or not at all. ``RunResult.arrays`` says what they are.

    Args:
        model: the network, a ``.t1c`` or ``.nir`` file.
        data: the samples; see ``t1c.sdk.samples``. Or a recording of an event camera or an ear;
            see ``t1c.sdk.recordings``.
        output: where the results go; ``<stem of data>_results.npz`` in the working folder if None.
        steps: how many steps to show inputs without a time axis; see ``read_samples``.
        batch_size: how many samples at once; it changes speed and memory, not the results.
        dtype: of the arithmetic: float64, float32 or bfloat16.
        keep_steps: write the output of every step too, not only its sum over time.
        allow_nonfinite: accept NaN and infinite numbers in model and data.
        dt: seconds in one step, for a ``.nir`` file that does not say it, and for a recording.
        polarity: how a recording fills one channel: 'sum', 'on' or 'off'.
        sample: which recording, in a file that holds many.
        progress: called now and then with the samples done (may have a fraction) and their number.
        stage: called with what is being done now.

    Raises:
        T1CError: the model, the data, or the two together are not valid, or torch is missing.
        OSError: a file is not there, or the results cannot be written.

    Example:
        >>> run_file("model.t1c", "digits.npz").result.accuracy  # doctest: +SKIP
        0.9911111111111112
    """
    begin = time.perf_counter()
    at = stage or (lambda _: None)
    at("loading PyTorch")
    import_bridge()  # before anything is read or made, so that it fails first
    target = Path(f"{Path(data).stem}_results.npz" if output is None else output)
    refuse_to_replace(target, model, data)
    at("reading")
    graph = nir.read_graph(model, dt, allow_nonfinite=allow_nonfinite)
    samples = read_data(
        data,
        graph,
        steps=steps,
        dt=dt,
        polarity=polarity,
        sample=sample,
        allow_nonfinite=allow_nonfinite,
    )
    tell = None if progress is None else lambda done: progress(done, samples.count)
    loading = time.perf_counter() - begin
    with replacing(target) as temporary:
        at("compiling, or loading what was compiled before")
        runner = Runner(graph, batch_size=batch_size, dtype=dtype, keep_steps=keep_steps)
        result = runner.run(samples, tell)
        at("writing")
        write_results(temporary, result)
    return RunReport(
        model=os.fspath(model),
        data=os.fspath(data),
        results=str(target),
        batch_size=batch_size,
        dtype=dtype,
        result=result,
        loading=loading,
        notes=held_otherwise(graph, samples),
    )


def write_results(path: StrPath, result: RunResult) -> None:
    """The arrays of a result as an ``.npz`` file, whatever its name."""
    arrays: dict[str, Any] = result.arrays()
    with open(path, "wb") as file:  # given a path, NumPy would add .npz to it
        np.savez_compressed(file, **arrays)


def refuse_to_replace(target: Path, *sources: StrPath) -> None:
    """Refuse to write results over what they are made from.

    Raises:
        InputError: ``target`` is one of ``sources``.
    """
    for source in sources:
        if target.exists() and os.path.exists(source) and target.samefile(source):
            raise InputError(
                Problem(
                    f"the results would replace {os.fspath(source)!r}, from which they are made",
                    "another file",
                    "Pass another output (--output).",
                )
            )
