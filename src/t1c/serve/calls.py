"""What one call brings and is answered: samples, all from rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from t1c import ir
from t1c.bridge.engine.collect import collector_for
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.sdk import Samples, as_samples
from t1c.sdk.samples import found_under, names_of

from .numbers import cast, dumped, finite, packed, parsed, real, unpacked
from .ports import Ports
from .refusals import RefusedError

Collect = Literal["stack", "sum", "last"]
JSON, NPZ = "application/json", "application/x-npz"
KINDS = {JSON: "JSON", NPZ: ".npz", "application/octet-stream": ".npz", "application/zip": ".npz"}
"""What a body may be, by its Content-Type."""


@dataclass(frozen=True)
class Asked:
    """What a call asks for beside its body.

    Attributes:
        kind: of the body, and of the answer: 'JSON' or '.npz'.
        steps: for how many steps to hold what has no axis of time; None: as the network says.
        collect: what becomes of the outputs of all steps; None: as each Output says.
    """

    kind: str
    steps: int | None = None
    collect: Collect | None = None

    @classmethod
    def of(cls, content_type: str, query: Mapping[str, str]) -> Asked:
        """From the head of a request.

        Raises:
            RefusedError: there is no such kind of body.
            InputError: the query says what is not understood.
        """
        kind = KINDS.get(content_type.partition(";")[0].strip().lower())
        if kind is None:
            raise RefusedError(
                415,
                Problem(
                    f"Content-Type {content_type!r}", f"{JSON} or {NPZ}, for np.savez's archives"
                ),
            )
        strange = set(query) - {"steps", "collect"}
        if strange:
            raise InputError(Problem(f"{sorted(strange)} in the query", "steps or collect"))
        steps, collect = query.get("steps"), query.get("collect")
        if steps is not None and not re.fullmatch("[1-9][0-9]{0,8}", steps):
            raise InputError(Problem(f"steps={steps}", "a whole number of at least 1"))
        if collect is not None and collect not in get_args(Collect):
            raise InputError(Problem(f"collect={collect}", " or ".join(get_args(Collect))))
        return cls(kind, None if steps is None else int(steps), collect)  # type: ignore[arg-type]


class Calls:
    """Reads and writes calls of one network.

    Args:
        graph: whose Inputs the samples must fit.
        inputs: what it takes.
        outputs: what it gives.
        limit: bytes of one call, as sent and as numbers.
        allow_nonfinite: take NaN and infinite numbers.
    """

    def __init__(
        self, graph: ir.Graph, inputs: Ports, outputs: Ports, *, limit: int, allow_nonfinite: bool
    ) -> None:
        self.graph, self.inputs, self.outputs = graph, inputs, outputs
        self.limit, self.allow_nonfinite = limit, allow_nonfinite
        self._final = {n for n, node in graph.outputs().items() if node.final}

    def read(self, body: bytes, asked: Asked) -> Samples:
        """The samples that a call brings, in the network's dtype.

        Raises:
            InputError: the body is not what it should be.
            RefusedError: there is too much of it.
        """
        names = [port.name for port in self.inputs.ports]
        given: Any
        if asked.kind == "JSON":
            given = _of_json(parsed(body, "body"), names)
            given = {n: real(x, f"input {n!r}", np.float64) for n, x in given.items()}
        else:
            given = _of_archive(unpacked(body, self.limit), self.graph)
        samples = as_samples(
            given, self.graph, steps=asked.steps, allow_nonfinite=self.allow_nonfinite
        )
        self._refuse_much(samples)
        own = {n: _in(x, self.inputs.dtype) for n, x in samples.inputs.items()}
        for name, x in own.items():
            # What float64 holds may be more than float32 does.
            finite(x[:1] if x.strides[0] == 0 else x, self.allow_nonfinite, f"input {name!r}")
        return Samples(own)

    def _refuse_much(self, samples: Samples) -> None:
        size = max(self.inputs.bytes, self.outputs.bytes)
        total = size * samples.steps * samples.count
        if total > self.limit:
            raise RefusedError(
                413,
                Problem(
                    f"{samples.steps} steps of {samples.count} samples, {total} bytes as numbers",
                    f"at most {self.limit} bytes in one call",
                    "Send fewer samples in a call, or long sequences in a stream.",
                ),
            )

    def write(self, outputs: dict[str, Array], asked: Asked) -> tuple[bytes, str]:
        """What came out, Output name -> (T, N, *shape), as an answer, and its Content-Type.

        Raises:
            InputError: JSON has no word for a number in it.
        """
        names = [port.name for port in self.outputs.ports]
        collector = collector_for(asked.collect, names, self._final, in_order=True)
        tensors = {name: torch.from_numpy(y) for name, y in outputs.items()}
        steps, samples = outputs[names[0]].shape[:2]
        collector.take(0, steps, tensors, None)
        found = {name: y.numpy() for name, y in collector.result().items()}
        if asked.kind == "JSON":
            named: Any = {name: y.tolist() for name, y in found.items()}
            out = named if len(names) > 1 else named[names[0]]
            text = dumped({"steps": steps, "samples": samples, "out": out})
            return text.encode(), JSON
        keys = {name: f"out/{name}" if len(names) > 1 else "out" for name in names}
        return packed({keys[name]: y for name, y in found.items()}), NPZ


def _of_json(said: Any, names: list[str]) -> dict[str, Any]:
    """Nested lists by Input name."""
    if not isinstance(said, dict) or set(said) != {"x"}:
        found = f"keys {sorted(said)}" if isinstance(said, dict) else "no object"
        raise InputError(Problem(found, '{"x": ...}, (T, N, *shape) or (N, *shape)', where="body"))
    x = said["x"]
    if isinstance(x, dict):
        return x
    if len(names) > 1:
        raise InputError(Problem("one array", f"an object with one for each of {names}", "", "x"))
    return {names[0]: x}


def _of_archive(arrays: dict[str, Array], graph: ir.Graph) -> dict[str, Array]:
    """Arrays by Input name, under the names that ``t1c run`` reads."""
    under = found_under(graph, arrays)
    found = {name: arrays[key] for name, key in under.items() if key is not None}
    if len(found) < len(under):
        wanted = ", ".join(called[0] for called in names_of(graph).values())
        raise InputError(Problem(f"arrays {sorted(arrays)}", wanted, where="body"))
    return found


def _in(array: Array, dtype: np.dtype[Any]) -> Array:
    """In the dtype; what stands still over time takes the memory of one step."""
    if len(array) > 1 and array.strides[0] == 0:
        return np.broadcast_to(cast(array[0], dtype), array.shape)
    return cast(array, dtype)
