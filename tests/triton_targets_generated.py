"""Compile generated loops for GPUs that need not be there; print what they became, as JSON."""

import itertools
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
from .triton_targets import Compiled, Pretended


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


def main():
    found = {}
    types = (torch.float32, torch.float64, torch.bfloat16)
    for (n, graph), dtype in itertools.product(enumerate((adaptive(3), refractory(3))), types):
        for way, loop in zip(("forwards", "backwards"), loops(graph, dtype), strict=True):
            found[f"{way} {n} {dtype}"] = compile_loop(loop, dtype, 80 if n else 90)
    told = loops(adaptive(3), torch.float32)[0]
    found["told to fuse"] = compile_loop(told, torch.float32, 90, enable_fp_fusion=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
