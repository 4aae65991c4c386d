"""Imports NIR files with one framework and writes down what they give.

Run by `nir_peers.py`, once per framework and in a process of its own:

    nir_peers_worker.py FRAMEWORK DATA OUT CASE...

For each case `DATA/CASE.nir` is imported with the framework's public importer, and the
inputs of `DATA/CASE.npz` go through it step by step with its state carried. Right results
are never read here. A case may be tried in several ways (`TRIES`): the first is the way
the framework documents, the others are what a user who knows it well would do by hand.
`OUT/CASE.TRY.json` says how a try went, `OUT/CASE.TRY.npz` holds what came out.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

Step = Callable[[Any], Any]
"""One step of an imported network: input in, output out, state kept inside."""


@dataclass(frozen=True)
class Case:
    """A file to import, and the circumstances it is run in."""

    path: Path
    dt: float
    batch: int


@dataclass(frozen=True)
class Try:
    """One way of importing with a framework."""

    load: Callable[[Case], Step]
    note: str
    """How the framework is called, for the list under the table."""
    batched: bool = True
    """Whether all samples go in at once; else each alone, without a batch axis."""


# --- the frameworks -------------------------------------------------------------------


def load_t1c(case: Case) -> Step:
    """This project."""
    bridge = importlib.import_module("t1c.bridge")
    return _carry(bridge.ir_to_torch(case.path, dt=case.dt, return_state=True), {})


def load_snntorch(case: Case) -> Step:
    """snnTorch: its importer takes no dt, it has 1e-4 s built in."""
    return _snntorch(_read(case.path))


def load_snntorch_rescaled(case: Case) -> Step:
    """snnTorch, given the same network in a unit of time whose step is 1e-4."""
    return _snntorch(_in_other_time(_read(case.path), 1e-4 / case.dt))


def load_norse(case: Case) -> Step:
    """Norse: its importer takes dt."""
    norse = importlib.import_module("norse.torch")
    return _carry(norse.from_nir(_read(case.path), dt=case.dt), None)


def load_sinabs(case: Case) -> Step:
    """sinabs: times in steps, so tau_mem is divided by dt after the import."""
    return _carry(_sinabs(_read(case.path), case), None)


def load_sinabs_scaled(case: Case) -> Step:
    """sinabs, with the input of each LIF scaled by r dt/tau as well.

    Written as the same change of the threshold, so that it can be made inside a network.
    """
    nir = importlib.import_module("nir")
    graph = _read(case.path)
    gains = {
        name: torch.as_tensor(node.r * case.dt / node.tau).float()
        for name, node in graph.nodes.items()
        if isinstance(node, nir.LIF)
    }
    network = _sinabs(graph, case)
    for name, gain in gains.items():
        layer = getattr(network, name)
        layer.spike_threshold.data = layer.spike_threshold.data / gain
    return _carry(network, None)


def load_sinabs_tensors(case: Case) -> Step:
    """sinabs, given tensors where a file gives arrays, in float64 as its Conv1d asks."""
    network = _sinabs(_of_tensors(_read(case.path)), case).double()
    step = _carry(network, None)
    return lambda x: step(x.double()).float()


def load_spikingjelly(case: Case) -> Step:
    """SpikingJelly: its importer takes dt."""
    exchange = importlib.import_module("spikingjelly.activation_based.nir_exchange")
    return _carry(exchange.import_from_nir(_read(case.path), dt=case.dt).eval(), None)


TRIES: dict[str, list[Try]] = {
    "t1c": [
        Try(load_t1c, "`t1c.bridge.ir_to_torch(path, dt=dt, return_state=True)`"),
    ],
    "snntorch": [
        Try(
            load_snntorch,
            "`snntorch.import_nir.import_from_nir(nir.read(path))`; it has no `dt`, its step is "
            "1e-4 s whatever the file's",
        ),
        Try(
            load_snntorch_rescaled,
            "the times of the graph multiplied by 1e-4/dt by hand before the import, so that its "
            "step is dt",
        ),
        Try(
            load_snntorch,
            "the samples fed one by one, without a batch axis",
            batched=False,
        ),
    ],
    "norse": [
        Try(load_norse, "`norse.torch.from_nir(nir.read(path), dt=dt)`"),
        Try(
            load_norse,
            "the samples fed one by one, without a batch axis",
            batched=False,
        ),
    ],
    "sinabs": [
        Try(
            load_sinabs,
            "`sinabs.nir.from_nir(nir.read(path), batch_size=batch)`; its times count steps, so "
            "`tau_mem` of each layer is divided by dt after the import, as the notebook published "
            "with the NIR paper does",
        ),
        Try(
            load_sinabs_scaled,
            "the input of each LIF scaled by r dt/tau as well, as that notebook scales its data",
        ),
        Try(
            load_sinabs_tensors,
            "the arrays of the graph made tensors by hand before the import, as in the example of "
            "its documentation, and run in float64",
        ),
    ],
    "spikingjelly": [
        Try(
            load_spikingjelly,
            "`spikingjelly.activation_based.nir_exchange.import_from_nir(nir.read(path), dt=dt)`",
        ),
    ],
}


def _read(path: Path) -> Any:
    """The graph of a file; without type checks where `nir` itself mistypes it."""
    nir = importlib.import_module("nir")
    try:
        return nir.read(path)
    except ValueError:
        return nir.read(path, type_check=False)


def _snntorch(graph: Any) -> Step:
    module = importlib.import_module("snntorch.import_nir")
    return _carry(module.import_from_nir(graph).eval(), None)


def _sinabs(graph: Any, case: Case) -> Any:
    network = importlib.import_module("sinabs.nir").from_nir(graph, batch_size=case.batch)
    for layer in network.modules():
        tau = getattr(layer, "tau_mem", None)
        if isinstance(tau, torch.Tensor):
            tau.data = tau.data / case.dt
    return network


def _in_other_time(graph: Any, factor: float) -> Any:
    """The same network with all times multiplied, which NIR defines to change nothing."""
    nir = importlib.import_module("nir")
    for node in graph.nodes.values():
        if isinstance(node, nir.NIRGraph):
            _in_other_time(node, factor)
        for name in ("tau", "tau_mem", "tau_syn", "delay"):
            if hasattr(node, name):
                setattr(node, name, getattr(node, name) * np.float32(factor))
        if isinstance(node, nir.I | nir.IF):
            node.r = node.r / np.float32(factor)
    return graph


def _of_tensors(graph: Any) -> Any:
    for node in graph.nodes.values():
        if hasattr(node, "nodes"):
            _of_tensors(node)
        else:
            for name, value in list(vars(node).items()):
                if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                    setattr(node, name, torch.from_numpy(value))
    return graph


def _carry(network: Any, state: Any) -> Step:
    """`network` as a function of the input alone, its state handed from step to step.

    The imported networks return `(output, state)`, an output being `(spikes, membrane)`
    for some neurons; where several edges lead into the Output, nirtorch's return them all.
    """

    def step(x: Any) -> Any:
        nonlocal state
        *outputs, state = network(x, state)
        outputs = [y[0] if isinstance(y, tuple) else y for y in outputs]
        if len(outputs) > 1:
            return {f"output {k}": y for k, y in enumerate(outputs, 1)}
        return outputs[0]

    return step


# --- running --------------------------------------------------------------------------


def run(attempt: Try, case: Case, inputs: Any) -> Any:
    """What the network of a file gives for `inputs`, both with (T, B) in front."""
    with torch.no_grad():
        if attempt.batched:
            return _steps(attempt.load(case), inputs)
        alone = Case(case.path, case.dt, 1)
        every = slice(None)
        samples = [_steps(attempt.load(alone), _at(inputs, (every, b))) for b in range(case.batch)]
        return _join(samples, axis=1)


def _steps(step: Step, inputs: Any) -> Any:
    steps = len(inputs) if not isinstance(inputs, dict) else len(next(iter(inputs.values())))
    return _join([step(_at(inputs, t)) for t in range(steps)], axis=0)


def _at(value: Any, index: Any) -> Any:
    if isinstance(value, dict):
        return {name: part[index] for name, part in value.items()}
    return value[index]


def _join(parts: list[Any], axis: int) -> Any:
    if isinstance(parts[0], dict):
        return {name: _join([part[name] for part in parts], axis) for name in parts[0]}
    return torch.stack(parts, axis)


REFUSALS = re.compile(r"unknown node type|not supported|unsupported|must (be|equal|have)", re.I)
"""How an importer says that it will not take a file; any other error is a crash."""


def refuses(error: BaseException, importing: bool) -> bool:
    """Whether an error is the importer's own word that it does not take the file."""
    on_purpose = isinstance(error, ValueError | NotImplementedError | AssertionError)
    return importing and on_purpose and REFUSALS.search(str(error)) is not None


@contextlib.contextmanager
def listening(said: list[str]) -> Iterator[None]:
    """Collects warnings, however they are given: as such, logged or printed."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(" ".join(record.getMessage().split()))

    root, handler, printed = logging.getLogger(), Handler(logging.WARNING), io.StringIO()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with contextlib.redirect_stdout(printed):
                yield
    finally:
        root.removeHandler(handler)
        outdated = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
        said += [
            " ".join(str(w.message).split()) for w in caught if not issubclass(w.category, outdated)
        ]
        said += [line for line in printed.getvalue().splitlines() if "warning" in line.lower()]
        said[:] = list(dict.fromkeys(said))


def attempt_case(attempt: Try, data: Path, name: str, stem: str) -> None:
    """Runs a case in one way and writes `stem`.json and `stem`.npz."""
    arrays = np.load(data / f"{name}.npz")
    several = {key[2:]: torch.from_numpy(arrays[key]) for key in arrays if key.startswith("x:")}
    inputs: Any = several or torch.from_numpy(arrays["x"])
    first = next(iter(several.values())) if several else inputs
    case = Case(data / f"{name}.nir", float(arrays["dt"]), first.shape[1])
    importing, said = True, list[str]()

    def load(case: Case) -> Step:
        nonlocal importing
        importing = True
        step = attempt.load(case)
        importing = False
        return step

    record: dict[str, Any]
    try:
        with listening(said):
            result = run(Try(load, attempt.note, attempt.batched), case, inputs)
        outputs = result if isinstance(result, dict) else {"": result}
        np.savez(
            f"{stem}.npz",
            **{f"y:{key}" if key else "y": y.numpy() for key, y in outputs.items()},
        )
        record = {"outcome": "ran"}
    except Exception as error:
        record = {
            "outcome": "refused" if refuses(error, importing) else "crash",
            "while": "importing" if importing else "running",
            "error": type(error).__name__,
            "message": str(error),
            "traceback": _without_paths(traceback.format_exc()),
        }
    record["said"] = said
    Path(f"{stem}.json").write_text(json.dumps(record), encoding="utf-8")


def _without_paths(text: str) -> str:
    """A traceback without the folders of this machine."""
    return re.sub(r'"[^"\n]*?/(site-packages|src|benchmarks|lib/python3\.\d+)/', r'"\1/', text)


def main() -> None:
    """Runs the cases named on the command line, in every way, in order."""
    framework, data, out, *names = sys.argv[1:]
    torch.set_num_threads(1)
    for name in names:
        for number, attempt in enumerate(TRIES[framework]):
            torch.manual_seed(0)
            attempt_case(attempt, Path(data), name, f"{out}/{name}.{number}")


if __name__ == "__main__":
    main()
