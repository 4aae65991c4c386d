"""Compiles what the scan launches for GPUs that need not be there."""

import itertools
import random
import re
from unittest.mock import patch

import torch
import triton
from triton.backends.compiler import GPUTarget

from t1c.bridge.engine.kernels import scan as room
from t1c.bridge.engine.kernels import triton_launch
from t1c.bridge.engine.kernels.rule import COEFFICIENTS, Rule
from t1c.bridge.engine.kernels.surrogate import SLOPES, Surrogate

RESETS = [
    ("no_fire", False),
    *itertools.product(("zero", "value", "subtract", "none", "lower"), (False, True)),
    ("hold", True),
    ("carry", False),
]


class Pretended:
    """A driver of a GPU, as far as compiling for it goes."""

    def __init__(self, capability):
        self.capability = capability

    def get_current_target(self):
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self):
        # Triton asks for the target once for each device.
        return self.capability

    def get_current_stream(self, device):
        return 0


class Compiled:
    """A kernel that is compiled when launched, machine code included, and not run."""

    def __init__(self, kernel, made):
        self.kernel, self.made = kernel, made

    def __getitem__(self, grid):
        def launch(*arguments, **options):
            made = self.kernel.warmup(*arguments, grid=grid, **options)
            self.made[made.metadata.name] = look(made.asm["ptx"])

        return launch


def look(ptx):
    return {
        "fused": len(re.findall(r"\b(?:fma|mad)\.[a-z.]*[fb]\w*\d", ptx)),
        # The whole number below is asked for of quotients from 1 on, or of what is raised to 1.
        "hasty": len(re.findall(r"(?<!cvt\.rmi)\.ftz\b|\bdiv\.(?:full|approx)", ptx)),
    }


def compile_scan(rule, dtype, capability, learning, **options):
    """The kernels that a scan of this rule and its gradient launch, by name."""
    triton.runtime.driver.set_active(Pretended(capability))
    state = tuple(torch.zeros(2, 3, dtype=dtype) for _ in range(1 + rule.synapse))
    xs = torch.zeros(4, 2, 3, dtype=dtype, requires_grad=True)
    c = tuple(torch.ones((), dtype=dtype, requires_grad=learning) for _ in range(len(COEFFICIENTS)))
    made: dict[str, dict[str, int]] = {}
    with (
        patch.object(room, "choose", lambda *_: "triton"),
        patch.object(triton_launch, "forward", Compiled(triton_launch.forward, made)),
        patch.object(triton_launch, "backward", Compiled(triton_launch.backward, made)),
        patch.dict(triton_launch.OPTIONS, options),
    ):
        output, _ = room.scan(xs, state, room.Coefficients(c), rule)
        output.sum().backward()
    return made


def cases():
    """Each reset in float32, every fourth in another type; the other options as the dice fall."""
    dice, kinds = random.Random(0), itertools.cycle(SLOPES)
    others = itertools.cycle((torch.bfloat16, torch.float64, torch.float16))
    for n, (reset, delay) in enumerate(RESETS):
        # Fusing is decided for all of a kernel: types differ in where they round, not by reset.
        for dtype in (torch.float32,) if n % 4 else (torch.float32, next(others)):
            # The exponential of float64 comes from CUDA's own library, which fuses.
            kind = next(k for k in kinds if (dtype, k) != (torch.float64, "sigmoid"))
            strict, synapse, detach, learning, bounded = (dice.random() < 0.5 for _ in range(5))
            rule = Rule(reset, delay, strict, synapse, Surrogate(kind), detach, not strict, bounded)
            yield rule, dtype, learning


def scans():
    """What the kernels of all cases are compiled into."""
    found = {}
    for (rule, dtype, learning), capability in zip(
        cases(), itertools.cycle((80, 90, 90)), strict=False
    ):
        for kernel, ptx in compile_scan(rule, dtype, capability, learning).items():
            found[f"{kernel} sm_{capability} {dtype} {rule}"] = ptx
    plain = Rule("none", False, False, False, Surrogate())
    told = compile_scan(plain, torch.float32, 90, False, enable_fp_fusion=True)
    found["told to fuse"] = told["forward"]
    return found
