"""A network run by jaxpike, for `make bench`: a process of its own, in an environment of its own.

It is given a folder with a network and its input (see speed/by_jax.py), compiles, and answers each
line on standard input with a line of JSON: `run` with the seconds of one call, `spikes` with the
file that the output spikes were written to, `peak` with the bytes that three calls take at most.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BETA = 0.875
RATE = 1e-5
QUIET = 0.02
"""Seconds in which the threads of another process fall asleep before a call is timed."""


def main() -> None:
    """Compiles and answers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=["run", "train"], required=True)
    parser.add_argument("--checkpointed", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    if options.threads < (os.cpu_count() or 1):
        # XLA takes a thread for each core that it may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    work = Work(options.folder, options.kind == "train", options.checkpointed)
    _say({"ready": True})
    for line in sys.stdin:
        match line.strip():
            case "run":
                time.sleep(QUIET)
                start = time.perf_counter()
                work.call()
                _say({"seconds": time.perf_counter() - start})
            case "spikes":
                _say({"spikes": str(work.write_spikes())})
            case "peak":
                _say({"peak": work.peak()})


class Work:
    """What is timed: the outputs of a sequence, or a training step, compiled for its input."""

    def __init__(self, folder: Path, trains: bool, checkpointed: bool) -> None:
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        import jaxpike as jp
        import numpy as np

        self.folder = folder
        arrays = np.load(folder / "arrays.npz")
        layers = json.loads((folder / "layers.json").read_text(encoding="utf-8"))
        net = network(layers, arrays)
        xs, labels = jnp.asarray(arrays["xs"]), jnp.asarray(arrays["labels"])
        unroll = jp.unroll_checkpointed if checkpointed else jp.unroll
        # Only weights and biases learn, as elsewhere: the time constant is its leaf by default.
        learns = jax.tree_util.tree_map(lambda _: False, net)
        learns = eqx.tree_at(weights, learns, replace_fn=lambda _: True)
        learnt, fixed = eqx.partition(net, learns)

        def outputs(learnt: Any, xs: Any) -> Any:
            return unroll(eqx.combine(learnt, fixed), xs)[0]

        def loss(learnt: Any, xs: Any, labels: Any) -> Any:
            spikes = outputs(learnt, xs)
            scores = jax.nn.log_softmax(spikes.sum(0))
            return -jnp.take_along_axis(scores, labels[:, None], 1).mean(), spikes

        def step(learnt: Any, xs: Any, labels: Any) -> Any:
            grads, spikes = jax.grad(loss, has_aux=True)(learnt, xs, labels)
            return jax.tree_util.tree_map(lambda p, g: p - RATE * g, learnt, grads), spikes

        self.learnt = learnt
        compiled: Callable[..., Any]
        if trains:
            compiled = jax.jit(step).lower(learnt, xs, labels).compile()

            def call() -> Any:
                self.learnt, spikes = jax.block_until_ready(compiled(self.learnt, xs, labels))
                return spikes
        else:
            compiled = jax.jit(outputs).lower(learnt, xs).compile()

            def call() -> Any:
                return jax.block_until_ready(compiled(self.learnt, xs))

        self.call = call

    def write_spikes(self) -> Path:
        """Call once; the file of the output spikes."""
        import numpy as np

        path = self.folder / "spikes.npy"
        np.save(path, np.asarray(self.call()))
        return path

    def peak(self) -> float:
        """Bytes above what was there before three calls; nothing was called yet."""
        gc.collect()
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM := VmRSS
        for _ in range(3):
            self.call()
        return _status("VmHWM") - before


def network(layers: list[dict[str, Any]], arrays: Any) -> Any:
    """The network; its LIF takes (1 - alpha) of its input, for which weights are scaled."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import jaxpike as jp

    tau = -1 / math.log(BETA)
    scale = 1 / (1 - BETA)
    key = jax.random.PRNGKey(0)
    made: list[Any] = []

    def dense(weight: Any, bias: Any) -> Any:
        own = jp.Dense(weight.shape[1], weight.shape[0], key=key, use_bias=bias is not None)
        own = eqx.tree_at(lambda m: m.weight, own, jnp.asarray(weight * scale))
        return (
            own if bias is None else eqx.tree_at(lambda m: m.bias, own, jnp.asarray(bias * scale))
        )

    for k, layer in enumerate(layers):
        if layer["kind"] == "dense":
            made.append(dense(arrays[f"weight{k}"], arrays[f"bias{k}"]))
            continue
        how = {"threshold": layer["threshold"], "reset": "zero", "surrogate": jp.ATan(2.0)}
        lif = jp.LIF(tau, **how)
        if layer["feedback"]:
            # A graph of its own, so that the layers around it are batched over time.
            nodes = {"lif": lif, "back": dense(arrays[f"feedback{k}"], None)}
            edges = [("input", "lif"), ("lif", "back"), ("back", "lif")]
            lif = jp.Graph(nodes, edges, output="lif")
        made.append(lif)
    return jp.Sequential(*made)


def weights(net: Any) -> list[Any]:
    """The leaves that learn."""
    parts = [p for layer in net.layers for p in getattr(layer, "nodes", {"": layer}).values()]
    dense = [part for part in parts if hasattr(part, "weight")]
    return [leaf for part in dense for leaf in (part.weight, part.bias) if leaf is not None]


def _status(name: str) -> float:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    if not found:
        raise OSError(f"/proc/self/status has no {name}")
    return float(found.group(1)) * 1024


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
