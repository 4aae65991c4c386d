"""Runs exported programs in a process that cannot import t1c: what a stranger would do.

    python -I exported_worker.py run FOLDER       step.pt2 and sequence.pt2, loaded
    python -I exported_worker.py compile FOLDER   step.pt2, compiled by AOTInductor

Both take ``xs.npz`` from the folder and write what came out beside it.
"""

import sys
from pathlib import Path

import numpy as np


class Refusing:
    """Finds nothing of t1c."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "t1c":
            raise ImportError(f"{name} is not installed")


sys.meta_path.insert(0, Refusing())
for name in [name for name in sys.modules if name.partition(".")[0] == "t1c"]:
    del sys.modules[name]

import torch  # noqa: E402


def at_rest(program, batch):
    """The state before the first step, of so many samples."""
    (_, state), _ = program.example_inputs
    return {n: v[:1].expand(batch, *v.shape[1:]).contiguous() for n, v in state.items()}


def stepped(call, state, xs):
    """All steps, one call after another; what is no sequence is given at every step."""
    outputs = []
    for t in range(len(xs["x"])):
        output, state = call({n: v[t] if n == "x" else v for n, v in xs.items()}, state)
        outputs.append(output)
    return {n: torch.stack([output[n] for output in outputs]) for n in outputs[0]}, state


def write(path, outputs, state):
    tensors = {**outputs, **{f"state {n}": v for n, v in state.items()}}
    np.savez(path, **{n: v.numpy() for n, v in tensors.items()})


def main(what, folder):
    xs = {n: torch.from_numpy(v) for n, v in np.load(folder / "xs.npz").items()}
    program = torch.export.load(folder / "step.pt2")
    rest = at_rest(program, xs["x"].shape[1])
    if what == "compile":
        compiled = torch._inductor.aoti_compile_and_package(
            program, package_path=str(folder / "compiled.pt2")
        )
        call = torch._inductor.aoti_load_package(compiled)
        write(folder / "compiled.npz", *stepped(call, rest, xs))
    else:
        write(folder / "step.npz", *stepped(program.module(), rest, xs))
        sequence = torch.export.load(folder / "sequence.pt2")
        write(folder / "sequence.npz", *sequence.module()(xs, rest))
    try:
        import t1c  # noqa: F401
    except ImportError:
        print("no t1c:", not any(n.partition(".")[0] == "t1c" for n in sys.modules))


if __name__ == "__main__":
    with torch.no_grad():
        main(sys.argv[1], Path(sys.argv[2]))
