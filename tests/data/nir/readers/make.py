"""What Spyx and Rockpool give for files that t1c wrote for them; neither installs beside the tests.

    python -m tests.data.nir.readers.make               where t1c is: networks, files, inputs
    python tests/data/nir/readers/make.py spyx          where spyx 1.0.0 and nir 1.0.8 are
    python tests/data/nir/readers/make.py rockpool      where rockpool 3.1.0 and nir 1.0.8 are

The first writes NAME.t1c, NAME.nir and NAME.npz with the input x; the others add what came out, y.
"""

import itertools
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def write():
    """Networks with the neurons of each reader, whose weights lie on a grid."""
    from t1c import ir, nir
    from tests.nir_readers import inputs, neuron

    for name, kinds in (("spyx", ("IF", "LIF")), ("rockpool", ("CubaLIF",))):
        for kind in kinds:
            rng = np.random.default_rng(0)
            nodes = {
                "input": ir.Input((6,)),
                "fc1": ir.Affine(
                    *((rng.integers(-8, 32, s) / 32).astype("f4") for s in ((8, 6), 8))
                ),
                "first": neuron(rng, name, kind),
                "fc2": ir.Linear((rng.integers(-8, 32, (5, 8)) / 32).astype("f4")),
                "second": neuron(rng, name, kind),
                "output": ir.Output((5,)),
            }
            names = list(nodes)
            graph = ir.Graph(nodes, list(itertools.pairwise(names)))
            stem = HERE / f"{name}_{kind.lower()}"
            ir.write(stem.with_suffix(".t1c"), graph)
            nir.write(stem.with_suffix(".nir"), graph, dialect=name)
            np.savez_compressed(stem.with_suffix(".npz"), x=inputs(rng, graph, steps=40))


def spyx(path, x):
    """Its importer runs the model at once, time first."""
    import jax.numpy as jnp
    import nir
    from spyx.nir import from_nir

    return np.asarray(from_nir(nir.read(path), jnp.asarray(x))[1])


def rockpool(path, x):
    """Its networks take (B, T, N)."""
    import nir
    import torch
    from rockpool.nn.modules.torch.nir import from_nir

    with torch.no_grad():
        out = from_nir(nir.read(path))(torch.from_numpy(x).transpose(0, 1).contiguous())[0]
    out = out[0] if isinstance(out, tuple) else out
    return out.transpose(0, 1).numpy()


def main():
    """Write, or run what was written in the reader that is named."""
    if len(sys.argv) == 1:
        write()
        return
    name = sys.argv[1]
    for path in sorted(HERE.glob(f"{name}_*.nir")):
        with np.load(path.with_suffix(".npz")) as file:
            x = file["x"]
        y = {"spyx": spyx, "rockpool": rockpool}[name](path, x)
        np.savez_compressed(path.with_suffix(".npz"), x=x, y=y.astype("f4"))


if __name__ == "__main__":
    main()
