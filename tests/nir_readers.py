"""Networks for the readers of NIR, and the readers at work; prints the table of docs/nir.md.

    python -m tests.nir_readers

Every reader runs the digits network with the neurons and the pool that it has, as its own public
importer reads the file that ``t1c.nir.write(path, graph, dialect=...)`` wrote, and random networks
that it can run. All spikes are compared.
"""

import importlib
import itertools
import logging
import sys
import tempfile
import warnings
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from t1c import ir, nir

EXAMPLES = Path(__file__).parent.parent / "examples"
PACKAGES = {
    "snntorch": "snntorch.import_nir",
    "norse": "norse.torch",
    "sinabs": "sinabs.nir",
    "spikingjelly": "spikingjelly.activation_based.nir_exchange",
}
OWN: dict[str, dict[str, Any]] = {
    "snntorch": {"reset": "zero", "fires_at": "gt"},
    "norse": {"reset": "zero", "fires_at": "gt"},
    "sinabs": {"reset": "subtract", "fires_at": "ge", "spikes": "multiple"},
    "spikingjelly": {"reset": "zero", "fires_at": "ge"},
    "rockpool": {"reset": "subtract", "fires_at": "ge", "spikes": "multiple"},
    "lava": {"reset": "zero", "fires_at": "gt"},
    "spyx": {"reset": "subtract", "reset_delay": True, "fires_at": "gt"},
}
"""The neurons that each reader has, whatever a file says."""


@contextmanager
def quiet():
    """What readers remark: they are compared."""
    level = logging.getLogger().level
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger().setLevel(logging.ERROR)
        try:
            yield
        finally:
            logging.getLogger().setLevel(level)


def run(name, path, xs, call, dt=None):
    """What a reader's public importer gives, step by step: (T, B, ...).

    Args:
        name: of the reader.
        path: of the file.
        xs: the input.
        call: how the report of ``nir.write`` says that the file is read there.
        dt: the step, if not the reader's own.
    """
    import torch

    with quiet(), torch.no_grad():
        package = importlib.import_module(PACKAGES[name])
        file = importlib.import_module("nir").read(path, type_check="type_check=False" not in call)
        at = {} if dt is None else {"dt": dt}
        if name == "sinabs":
            network = package.from_nir(file, batch_size=xs.shape[1])
        elif name == "norse":
            network = package.from_nir(file, **at)
        else:
            network = package.import_from_nir(file, **at).eval()
        state, outs = None, []
        for x in torch.from_numpy(xs):
            out, state = network(x, state)
            outs.append(out[0] if isinstance(out, tuple) else out)
        return torch.stack(outs).numpy()


def executed(graph, xs):
    """What t1c gives."""
    import torch

    from t1c import bridge

    with torch.no_grad():
        return bridge.ir_to_torch(graph).run(torch.from_numpy(xs))[0].numpy()


# The digits network ------------------------------------------------------------------------------


def digits(name):
    """The network of the examples with the neurons of a reader, and sums in the place of maxima."""
    graph = ir.read(EXAMPLES / "digits.t1c")
    nodes = dict(graph.nodes)
    for node, found in graph.nodes.items():
        if isinstance(found, ir.LIF):
            nodes[node] = found.replace(**{"reset_delay": False, **OWN[name]})
        elif isinstance(found, ir.MaxPool2d):
            nodes[node] = ir.SumPool2d(found.kernel_size)
    return ir.Graph(nodes, graph.edges, graph.metadata)


def images():
    """All test images, at each of 16 steps, and their labels."""
    with np.load(EXAMPLES / "digits_test.npz") as file:
        return np.repeat(file["x"][None], int(file["steps"]), axis=0), file["y"]


# Random networks ---------------------------------------------------------------------------------


def grid(rng, *shape, low=-12, high=24):
    """Numbers on a grid on which all sums are exact."""
    return (rng.integers(low, high, shape) / 32).astype(np.float32)


def neuron(rng, name, kind, fires_at=None):
    """A neuron that a reader can run, in some unit of its own."""
    one, gain = np.ones(1), 2.0 ** rng.integers(-1, 2)
    options = dict(OWN[name])
    if options["reset"] == "zero" and fires_at:
        options["fires_at"] = fires_at
    threshold = gain * rng.choice([0.5, 1.0, 1.5]) * one
    tau = 2 * one
    if kind == "IF":
        return ir.IF(threshold, gain * one, **options)
    if kind == "LIF":
        return ir.LIF(tau, gain * tau, 0 * one, threshold, **options)
    return ir.CubaLIF(tau, tau, gain * tau, 0 * one, 2 * threshold, 2 * tau, **options)


def network(rng, name, *, kind=None, maps=False, skip=False, loop=False, norm=False, fires_at=None):
    """Input, two populations, Output: one number per neuron or feature maps first."""
    kinds = [k for k in ("IF", "LIF", "CubaLIF") if k in nir.DIALECTS[name].reader.neurons]
    kind = kind or rng.choice(kinds)
    late = nir.DIALECTS[name].reader.lag > 0
    nodes: dict[str, Any] = {}
    if maps:
        pool = (
            ir.AvgPool2d
            if "AvgPool2d" in nir.DIALECTS[name].reader.layers and rng.random() < 0.5
            else ir.SumPool2d
        )
        nodes["in put"] = ir.Input((2, 6, 6))
        nodes["conv"] = ir.Conv2d(
            grid(rng, 3, 2, 3, 3), grid(rng, 3), stride=(1, 1), padding=(1, 1)
        )
        if norm:
            # Its factor is 2, its shift 1/2 - 2 * 1/4.
            four = np.full(3, 0.25, np.float32)
            nodes["norm"] = ir.BatchNorm2d(3, four * 4, four * 2, four, four, eps=0.0)
        nodes["first"] = neuron(rng, name, kind, fires_at)
        nodes |= {"pool": pool((2, 2)), "flatten": ir.Flatten()}
        nodes["dropped"] = ir.Dropout(27)
        size = 27
    else:
        nodes = {"in put": ir.Input((6,)), "conv": ir.Affine(grid(rng, 8, 6), grid(rng, 8))}
        if norm:
            four = np.full(8, 0.25, np.float32)
            nodes["norm"] = ir.BatchNorm1d(8, four * 4, four * 2, four, four, eps=0.0)
        nodes["first"] = neuron(rng, name, kind, fires_at)
        size = 8
    last: ir.Node = ir.Affine(grid(rng, 5, size), grid(rng, 5))
    nodes |= {
        "state": ir.Linear(grid(rng, 5, size)) if late or rng.random() < 0.5 else last,
        "lif.2": neuron(rng, name, kind, fires_at),
        "output": ir.Output((5,)),
    }
    names = list(nodes)
    edges = list(itertools.pairwise(names))
    if skip:
        nodes["skip"] = ir.Linear(grid(rng, 5, 6))
        edges += [("in put", "skip"), ("skip", "lif.2")]
    if loop:
        nodes["back"] = ir.Linear(grid(rng, 8, 8))
        edges += [("first", "back"), ("back", "first")]
    return ir.Graph(nodes, edges, allow_cycles=loop)


def inputs(rng, graph, steps=20, batch=3):
    """Spikes for the one Input of a graph."""
    (entry,) = graph.inputs().values()
    return (rng.random((steps, batch, *entry.shape)) < 0.5).astype(np.float32)


def main():
    """The table."""
    xs, labels = images()
    print("| reader | digits: spikes that differ | of | spikes fired | right answers |")
    print("|---|---|---|---|---|")
    for name in PACKAGES:
        graph = digits(name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "digits.nir"
            report = nir.write(path, graph, dialect=name)
            there, here = run(name, path, xs, report.call), executed(graph, xs)
        right = (there.sum(0).argmax(1) == labels).mean()
        print(
            f"| `{name}` | {(there != here).sum()} | {here.size:,} | {int(here.sum()):,} "
            f"| {right:.1%} |"
        )


if __name__ == "__main__":
    sys.exit(main())
