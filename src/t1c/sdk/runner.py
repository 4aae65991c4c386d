"""Runs samples through a graph, in batches."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.ir.optional import imported
from t1c.ir.shapes import Shape

from .samples import Samples

if TYPE_CHECKING:
    import torch

STEPS_AT_ONCE = 128
"""Longer sequences are run in pieces, the state carried along, so that memory stays bounded."""

WARM_UP = 8
"""How many samples at most are run before the clock starts."""


DType = Literal["float32", "float64", "bfloat16"]
"""What a graph can be run in."""


@dataclass(frozen=True)
class RunResult:
    """What a graph made of samples.

    Attributes:
        out_sum: Output name -> its values summed over time, float64 (N, *shape): for a spiking
            output, how often each neuron fired. Outputs that are final are not among them.
        out: Output name -> its values at every step (T, N, *shape), if they were to be kept.
        steps: T.
        seconds: how long the running took; reading, writing and compiling are not counted.
        labels: the right class of each sample (N,), if known.
        answer: Output name -> its value at the last step (N, *shape), for those that are final.
        compiling: how many seconds it took before that to make the network ready: compiling, or
            loading what was compiled in an earlier run; 0 where it was ready.
    """

    out_sum: dict[str, Array]
    out: dict[str, Array] | None
    steps: int
    seconds: float
    labels: Array | None = None
    answer: dict[str, Array] = field(default_factory=dict)
    compiling: float = 0.0

    @property
    def samples(self) -> int:
        """N."""
        return len(next(iter(self._scores.values())))

    @property
    def _scores(self) -> dict[str, Array]:
        """What each output comes to (N, *shape): its answer, or its sum over time."""
        return {**self.out_sum, **self.answer}

    @property
    def prediction(self) -> dict[str, Array]:
        """Output name -> the class with the largest sum (N,), where the output is (classes,).

        Of a final output it is the class with the largest answer. Ties go to the lowest class.
        """
        return {
            name: total.argmax(axis=1)
            for name, total in self._scores.items()
            if _chooses(total.shape[1:])
        }

    @property
    def mean_output(self) -> dict[str, float]:
        """Output name -> its mean per step and neuron: for a spiking output, its spike rate.

        Of a final output it is the mean of the answer.
        """
        means = {name: float(total.mean()) / self.steps for name, total in self.out_sum.items()}
        return means | {name: float(value.mean()) for name, value in self.answer.items()}

    @property
    def correct(self) -> int | None:
        """How many predictions equal the labels; None without labels or with no one prediction."""
        if self.labels is None or len(self.prediction) != 1:
            return None
        (prediction,) = self.prediction.values()
        return int((prediction == self.labels).sum())

    @property
    def accuracy(self) -> float | None:
        """``correct`` as a share of the samples."""
        return None if self.correct is None else self.correct / self.samples

    def arrays(self) -> dict[str, Array]:
        """The results under the names that they have in a file.

        ``out_sum``, or ``answer`` of an output that is final; ``prediction`` where there is one;
        and ``out`` if it was kept. Where the graph has several outputs, each name is followed by
        ``/<output>``.
        """
        kinds = {
            "out_sum": self.out_sum,
            "answer": self.answer,
            "prediction": self.prediction,
            "out": self.out or {},
        }
        single = len(self._scores) == 1
        return {
            kind if single else f"{kind}/{name}": array
            for kind, arrays in kinds.items()
            for name, array in arrays.items()
        }


class Runner:
    """A graph made ready once, to run any number of samples.

    Compiling, and loading what was compiled before, is done before the clock of the first run
    starts.

    Args:
        graph: what to run.
        batch_size: how many samples at once; it changes speed and memory, not the results.
        dtype: of the arithmetic; the samples are cast to it.
        keep_steps: keep the output of every step.
        reproducible: take every sum in its written order; see ``bridge.ir_to_torch``.
        device: where to work, such as 'cuda:0'; results come back from there.

    Raises:
        UnsupportedError: torch cannot be imported, or the graph holds what cannot be run.
        InputError: an argument is out of range.
    """

    def __init__(
        self,
        graph: ir.Graph,
        *,
        batch_size: int = 256,
        dtype: DType = "float32",
        keep_steps: bool = False,
        reproducible: bool = False,
        device: str = "cpu",
    ) -> None:
        if batch_size < 1:
            raise InputError(Problem(f"batch_size={batch_size}", "at least 1"))
        if dtype not in get_args(DType):
            raise InputError(Problem(f"dtype={dtype!r}", f"one of {', '.join(get_args(DType))}"))
        bridge = import_bridge()
        begin = time.perf_counter()
        self.graph, self.batch_size, self.dtype = graph, batch_size, dtype
        self.keep_steps, self._device = keep_steps, device
        self._precision = getattr(import_torch(), dtype)
        executor = bridge.ir_to_torch(graph, dtype=self._precision, reproducible=reproducible)
        self._executor = executor.to(device)
        self._making: float | None = time.perf_counter() - begin

    def run(self, samples: Samples, progress: Callable[[float], object] | None = None) -> RunResult:
        """Run samples, all from rest.

        Args:
            samples: what on.
            progress: called now and then with the number of samples done, which may have a
                fraction.

        Raises:
            InputError: a label is no class of the output.
        """
        _check_labels(self.graph, samples)
        results = _Collector(self.graph, samples, self.dtype, self.keep_steps)
        compiling = self._warm_up(samples)
        tell = progress or (lambda _: None)
        tell(0)
        begin = time.perf_counter()
        for batch in pieces(samples.count, self.batch_size):
            state = None
            for times in pieces(samples.steps, STEPS_AT_ONCE):
                ys, state = self._piece(samples, times, batch, state)
                results.add(ys, times, batch)
                share = times.stop / samples.steps
                tell(batch.start + share * (batch.stop - batch.start))
        seconds = time.perf_counter() - begin
        return RunResult(
            results.out_sum,
            results.out,
            samples.steps,
            seconds,
            samples.labels,
            results.answer,
            compiling,
        )

    def _warm_up(self, samples: Samples) -> float:
        """Run a few samples for a step or two: the first run compiles what all others use.

        Returns:
            How many seconds that took, and making the executor before; 0 from the second run on.
        """
        if self._making is None:
            return 0.0
        begin = time.perf_counter()
        few = slice(0, min(WARM_UP, samples.count, self.batch_size))
        self._piece(samples, slice(0, min(2, samples.steps)), few, None)
        compiling, self._making = self._making + time.perf_counter() - begin, None
        return compiling

    def _piece(self, samples: Samples, times: slice, batch: slice, state: Any) -> Any:
        """What comes out for some steps of some samples, and the state after them."""
        xs = {
            name: piece(array, times, batch, self._precision).to(self._device)
            for name, array in samples.inputs.items()
        }
        with import_torch().inference_mode():
            return self._executor.run(xs, state, collect="stack")


def run(
    graph: ir.Graph,
    samples: Samples,
    *,
    batch_size: int = 256,
    dtype: DType = "float32",
    keep_steps: bool = False,
    progress: Callable[[float], object] | None = None,
) -> RunResult:
    """Run samples through a graph with PyTorch.

    Args:
        graph: what to run.
        samples: what on.
        batch_size: how many samples at once; it changes speed and memory, not the results.
        dtype: of the arithmetic; the samples are cast to it.
        keep_steps: keep the output of every step.
        progress: called now and then with the number of samples done, which may have a fraction.

    Raises:
        UnsupportedError: torch cannot be imported, or the graph holds what cannot be run.
        InputError: a label is no class of the output, or an argument is out of range.
    """
    runner = Runner(graph, batch_size=batch_size, dtype=dtype, keep_steps=keep_steps)
    return runner.run(samples, progress)


class _Collector:
    """Puts the outputs of each batch and stretch of time where they belong."""

    def __init__(self, graph: ir.Graph, samples: Samples, dtype: DType, keep_steps: bool) -> None:
        shapes = {name: tuple(node.shape) for name, node in graph.outputs().items()}
        steps, count = samples.steps, samples.count
        final = {name for name, node in graph.outputs().items() if node.final}
        self.names = list(shapes)
        totals = {name: np.zeros((count, *shape)) for name, shape in shapes.items()}
        self.out_sum = {name: total for name, total in totals.items() if name not in final}
        self.answer = {name: total for name, total in totals.items() if name in final}
        self.out: dict[str, Array] | None = None
        if keep_steps:
            # NumPy has no bfloat16, but float32 holds every number of it.
            kept = np.float64 if dtype == "float64" else np.float32
            self.out = {name: np.empty((steps, count, *s), kept) for name, s in shapes.items()}

    def add(self, outputs: Any, times: slice, batch: slice) -> None:
        """Take what an executor returned: a tensor, or a dict by Output name."""
        if not isinstance(outputs, dict):
            outputs = {self.names[0]: outputs}
        for name, y in outputs.items():
            values = y.cpu().double().numpy()
            if name in self.answer:
                self.answer[name][batch] = values[-1]
            else:
                self.out_sum[name][batch] += values.sum(axis=0)
            if self.out is not None:
                self.out[name][times, batch] = values


def import_torch() -> ModuleType:
    """The torch package, imported now.

    Raises:
        UnsupportedError: it cannot be imported; the message says how to get it.
    """
    torch: ModuleType = imported("torch", "running a graph needs PyTorch, which", "torch")
    return torch


def import_bridge() -> ModuleType:
    """``t1c.bridge``, and torch with it, imported now.

    Raises:
        UnsupportedError: torch cannot be imported; the message says how to get it.
    """
    import_torch()
    from t1c import bridge

    return bridge


def pieces(length: int, size: int) -> Iterator[slice]:
    """Parts of ``size``, of which the last may be shorter."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def piece(array: Array, times: slice, batch: slice, dtype: torch.dtype) -> torch.Tensor:
    """Some steps of some samples; what stands still over time takes the memory of one step."""
    if array.strides[0] == 0:
        still = _tensor(array[0, batch], dtype)
        return still.expand(times.stop - times.start, *still.shape)
    return _tensor(array[times, batch], dtype)


def _tensor(array: Array, dtype: torch.dtype) -> torch.Tensor:
    import torch

    # NumPy's copy is one that torch can take, whatever the array's type, byte order and strides.
    wide = np.float64 if dtype == torch.float64 else np.float32
    return torch.from_numpy(np.array(array, wide, order="C")).to(dtype)


def _check_labels(graph: ir.Graph, samples: Samples) -> None:
    """Refuse labels that no prediction can equal."""
    if samples.labels is None:
        return
    choices = {n: node.shape[0] for n, node in graph.outputs().items() if _chooses(node.shape)}
    if len(choices) != 1:
        warnings.warn(
            "the labels are not used, so accuracy is not told: they need one output of shape "
            f"(classes,), and the graph has {len(choices)}",
            stacklevel=3,
        )
        return
    (classes,) = choices.values()
    wrong = samples.labels[(samples.labels < 0) | (samples.labels >= classes)]
    if len(wrong):
        more = f" (and {len(wrong) - 1} more like it)" if len(wrong) > 1 else ""
        raise InputError(
            Problem(
                f"the label {wrong[0]}{more}",
                f"classes from 0 to {classes - 1}, as many as the output has neurons",
                where="labels",
            )
        )


def _chooses(shape: Shape) -> bool:
    """Whether an output of this shape chooses between classes; one neuron chooses nothing."""
    return len(shape) == 1 and shape[0] > 1
