"""jaxpike: run by a process of its own, in an environment of its own (see ../jax_worker.py)."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .networks import Dense, Lif, Workload

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-jax" / "bin" / "python"


class Remote:
    """A call that another process makes, which tells how long it took.

    Args:
        workload: the network and its input.
        trains: a training step; else its outputs.
        checkpointed: by ``unroll_checkpointed``.
        environment: variables of the process, besides those of this one.

    Raises:
        RuntimeError: the process ended, or the environment is not there.
    """

    def __init__(
        self,
        workload: Workload,
        trains: bool,
        checkpointed: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if not PYTHON.exists():
            raise RuntimeError("no .venv-jax: `make bench` makes it")
        self._folder = tempfile.TemporaryDirectory()
        _write(workload, Path(self._folder.name))
        command = [str(PYTHON), str(ROOT / "benchmarks" / "jax_worker.py"), self._folder.name]
        command += ["--kind", "train" if trains else "run"]
        command += ["--threads", str(torch.get_num_threads())]
        command += ["--checkpointed"] if checkpointed else []
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu", **(environment or {})},
        )
        self._answer()

    def seconds(self) -> float:
        """Of one call."""
        return float(self._ask("run")["seconds"])

    def __call__(self) -> Tensor:
        """The output spikes of one call."""
        return torch.from_numpy(np.load(self._ask("spikes")["spikes"]))

    def peak(self) -> float:
        """Bytes that three calls take, if none was made before."""
        return float(self._ask("peak")["peak"])

    def _ask(self, what: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._process.stderr.read().strip().splitlines() or ["?"]
            raise RuntimeError(said[-1])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the process."""
        self._process.communicate()
        self._folder.cleanup()


def _write(workload: Workload, folder: Path) -> None:
    arrays: dict[str, Any] = {"xs": workload.xs, "labels": workload.labels}
    layers: list[dict[str, Any]] = []
    for k, layer in enumerate(workload.network.layers):
        match layer:
            case Dense(weight, bias):
                arrays |= {f"weight{k}": weight, f"bias{k}": bias}
                layers.append({"kind": "dense"})
            case Lif(_, threshold, feedback):
                if feedback is not None:
                    arrays[f"feedback{k}"] = feedback
                looped = feedback is not None
                layers.append({"kind": "lif", "threshold": threshold, "feedback": looped})
            case _:
                raise RuntimeError(f"{type(layer).__name__} is not written for jaxpike")
    found = {name: np.asarray(x) for name, x in arrays.items()}
    np.savez(folder / "arrays.npz", **found)
    (folder / "layers.json").write_text(json.dumps(layers), encoding="utf-8")
