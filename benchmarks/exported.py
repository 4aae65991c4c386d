"""Time of a step of an exported program, plain and compiled, beside the executor's.

    python benchmarks/exported.py [--steps 1000] [--rounds 7]

A network 784-512-512-10 of LIF neurons, float32, a batch of one sample, 10 % input spikes, one
thread. All three work the same steps, in turn; a figure is the median over the rounds of the
processor's time for one step. The spikes of all steps are compared first, bit for bit: weights
lie on a grid. Compiling needs g++ and takes about half a minute.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from t1c import bridge, deploy, ir

SIZES = (784, 512, 512, 10)


def network(rng):
    """The graph."""
    nodes, last, edges = {"input": ir.Input((SIZES[0],))}, "input", []
    for n, (taken, sent) in enumerate(itertools.pairwise(SIZES), 1):
        weight = np.round(rng.normal(0, 0.08, (sent, taken)) * 256) / 256
        nodes[f"fc{n}"] = ir.Affine(weight.astype(np.float32), np.zeros(sent, np.float32))
        nodes[f"lif{n}"] = ir.LIF(np.array(2.0), np.array(2.0), np.array(0.0), np.array(0.5))
        edges += [(last, f"fc{n}"), (f"fc{n}", f"lif{n}")]
        last = f"lif{n}"
    nodes["output"] = ir.Output((SIZES[-1],))
    return ir.Graph(nodes, [*edges, (last, "output")])


def tell(line):
    """A line of what was found."""
    sys.stdout.write(line + "\n")


def stepped(call, state, xs):
    """The outputs of all steps, and the processor's time for one."""
    outputs, begun = [], time.thread_time()
    for x in xs:
        output, state = call(x, state)
        outputs.append(output)
    return torch.stack(outputs), (time.thread_time() - begun) / len(xs)


def main():
    """Compares, measures and tells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    graph = network(rng)
    xs = torch.from_numpy((rng.random((options.steps, 1, SIZES[0])) < 0.1).astype(np.float32))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "step.pt2"
        report = deploy.to_exported(graph, path)
        program = torch.export.load(path)
        (_, state), _ = program.example_inputs
        rest = {name: v[:1].contiguous() for name, v in state.items()}
        begun = time.perf_counter()
        compiled = torch._inductor.aoti_compile_and_package(
            program, package_path=str(Path(folder) / "compiled.pt2")
        )
        compiling = time.perf_counter() - begun
        ways = {
            "executor": (bridge.ir_to_torch(graph, return_state=True, trainable=False), None),
            "exported": (program.module(), rest),
            "compiled": (torch._inductor.aoti_load_package(compiled), rest),
        }
        expected, _ = ir.Reference(graph, np.float32).run(xs[:200].numpy())
        for name, (call, first) in ways.items():
            found, _ = stepped(call, first, xs[:200])
            assert np.array_equal(found.numpy(), expected), name
        tell(f"{int(expected.sum())} spikes of {expected.size}, the same in 200 steps")
        times = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, (call, first) in ways.items():
                times[name].append(stepped(call, first, xs)[1])
        sizes = {"exported": report.bytes, "compiled": Path(compiled).stat().st_size}
        for name, taken in times.items():
            size = f"  {sizes[name]:>10,} bytes" if name in sizes else ""
            tell(f"{name:9} {statistics.median(taken) * 1e6:7.0f} us a step{size}")
        tell(f"compiled in {compiling:.0f} s")


if __name__ == "__main__":
    main()
