"""Adds to the corpus what it lacks: a file for each primitive and version of the format.

    python -m tests.data.corpus.make

A file that is there is never written again: it says what a version of t1c has written, and every
later one must read the same in it. Beside each lie an input, and what the reference made of it.
"""

from pathlib import Path

import numpy as np

from t1c import ir
from t1c.sdk import fingerprint_graph
from tests.corpus_examples import corpus

FOLDER = Path(__file__).parent
STEPS, BATCH = 5, 2


def main():
    """Write the files that are missing, and name them."""
    rng = np.random.default_rng(14)
    for (primitive, version), graph in corpus().items():
        path = FOLDER / version / f"{primitive}.t1c"
        if path.exists():
            continue
        path.parent.mkdir(exist_ok=True)
        xs = {
            name: rng.integers(-64, 192, (STEPS, BATCH, *node.shape)) / 128
            for name, node in graph.inputs().items()
        }
        ir.write(path, graph)
        found, _ = ir.Reference(graph).run(xs, collect="stack")
        outputs = found if isinstance(found, dict) else dict.fromkeys(graph.outputs(), found)
        arrays = {f"in/{n}": x for n, x in xs.items()} | {f"out/{n}": y for n, y in outputs.items()}
        fingerprint = np.array(fingerprint_graph(graph))
        np.savez_compressed(path.with_suffix(".npz"), fingerprint=fingerprint, **arrays)
        print(path.relative_to(FOLDER))


if __name__ == "__main__":
    main()
