"""Every file that a version of t1c has written opens, and means what it meant.

``tests/data/corpus`` holds one for each primitive and each version of the format that added to it,
with an input and what came out; ``tests/data/corpus/make.py`` adds what is missing.
"""

from pathlib import Path

import numpy as np
import pytest

from t1c import ir
from t1c.ir.hdf5 import count_checksums
from t1c.sdk import fingerprint_graph

from .corpus_examples import wanted

FOLDER = Path(__file__).parent / "data" / "corpus"
FILES = sorted(FOLDER.glob("*/*.t1c"))


def test_no_primitive_and_no_version_is_missing():
    there = {(path.stem, path.parent.name) for path in FILES}
    missing = set(wanted()) - there
    assert not missing, "run .venv/bin/python -m tests.data.corpus.make"
    assert len(there) >= 74  # none is taken away


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.stem}-{path.parent.name}")
def test_a_file_means_what_it_meant(path, tmp_path):
    graph = ir.read(path)
    assert ir.read_version(path) == path.parent.name
    assert count_checksums(path) > 5
    assert path.stem in {node.primitive for node in graph.nodes.values()}
    with np.load(path.with_suffix(".npz")) as kept:
        assert fingerprint_graph(graph) == str(kept["fingerprint"])
        xs = {name[3:]: kept[name] for name in kept if name.startswith("in/")}
        expected = {name[4:]: kept[name] for name in kept if name.startswith("out/")}
    found, _ = ir.Reference(graph).run(xs, collect="stack")
    found = found if isinstance(found, dict) else {next(iter(expected)): found}
    assert found.keys() == expected.keys() == graph.outputs().keys()
    for name, value in expected.items():
        assert np.count_nonzero(value) > 0
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-15)
    ir.write(tmp_path / "again.t1c", graph)
    assert ir.read(tmp_path / "again.t1c").equals(graph)
    assert ir.read_version(tmp_path / "again.t1c") == path.parent.name
