"""Compile scans and generated loops for GPUs that need not be there; print what they became.

As JSON, of both in one process: to import what compiles takes as long as half of the compiling.
"""

import json
from unittest.mock import patch

import torch
import triton

from t1c import bridge
from t1c.bridge.engine import stretch
from t1c.bridge.engine.kernels.arithmetic import of_arithmetic
from t1c.bridge.engine.kernels.generated import triton_launch
from t1c.bridge.engine.kernels.generated.gradient import backward

from .neuron_examples import adaptive, refractory
from .triton_targets import Compiled, Pretended, scans


def loops(graph, dtype):
    """A neuron's loop, and its gradient's."""
    executor = bridge.ir_to_torch(graph, dtype=dtype)
    (stage,) = (s for s in executor.plan.stages if s.loop)
    like = torch.zeros(2, 3, dtype=dtype)
    written = stretch.write(executor.network, stage.names, stage.names[-1:], like)
    loop = written.written.loop
    return loop, backward(loop, (0,), (), tuple(sorted(loop.leaves("single")))).loop


def compile_loop(loop, dtype, capability, **options):
    triton.runtime.driver.set_active(Pretended(capability))
    made = {}
    wide = of_arithmetic(dtype)
    arrays = [
        torch.zeros(2 + len(loop.numbers), dtype=wide),
        torch.ones(16, dtype=dtype),
        torch.zeros(0, 1, dtype=dtype),
        torch.zeros(len(loop.carried), 6, dtype=dtype),
        torch.zeros(len(loop.sums), 6, dtype=wide),
        *(torch.zeros(4, 6, dtype=dtype) for _ in (*loop.reads, *loop.writes)),
    ]
    kernel = Compiled(triton_launch.kernel(loop), made)
    with (
        patch.object(triton_launch, "kernel", lambda _: kernel),
        patch.dict(triton_launch.OPTIONS, options),
    ):
        triton_launch.launch(loop, 4, 6, arrays)
    (found,) = made.values()
    return found


def compiled_loops():
    """Each neuron in a type that rounds nothing in between, and one in another."""
    found = {}
    neurons = (
        (adaptive(3), torch.float32, 90),
        (adaptive(3), torch.bfloat16, 90),
        (refractory(3), torch.float64, 80),
    )
    for n, (graph, dtype, capability) in enumerate(neurons):
        for way, loop in zip(("forwards", "backwards"), loops(graph, dtype), strict=True):
            found[f"{way} {n} {dtype}"] = compile_loop(loop, dtype, capability)
    told = loops(adaptive(3), torch.float32)[0]
    found["told to fuse"] = compile_loop(told, torch.float32, 90, enable_fp_fusion=True)
    return found


if __name__ == "__main__":
    print(json.dumps({"scans": scans(), "loops": compiled_loops()}))
