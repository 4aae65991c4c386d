"""The schema that is committed is the one that the declarations say, and files keep to it."""

import json
import re
import runpy
from pathlib import Path

import h5py
import numpy as np
import pytest

from t1c.ir.hdf5_layout import numbers
from t1c.ir.schema import schema

ROOT = Path(__file__).parent.parent
COMMITTED = json.loads((ROOT / "docs" / "schema.json").read_text())
KINDS = {"array": "fiu", "int": "iO", "float": "f", "bool": "b", "choice": "O", "text": "O"}


def test_it_is_not_stale():
    assert schema() == COMMITTED, "run .venv/bin/python -m t1c.ir.schema > docs/schema.json"


@pytest.mark.parametrize("path", sorted((ROOT / "tests/data/corpus").glob("*/*.t1c")), ids=str)
def test_files_keep_to_it(path):
    """Read with h5py and the committed text alone."""
    looked = 0
    with h5py.File(path) as file:
        for node in file["graph/nodes"].values():
            name, _, version = node["type"][()].decode().partition("@")
            if name == "Graph":
                continue
            declared = COMMITTED["primitives"][name]
            fields = declared["fields"]
            stored = set(node) - {"type", "metadata", "input_type", "output_type"}
            assert stored <= set(fields)
            assert {n for n, f in fields.items() if f.get("required")} <= stored
            newest = max([declared["since"], version or "0.0.1"], key=numbers)
            for field in stored:
                said, data = fields[field], node[field]
                assert numbers(said["since"]) <= numbers(newest)
                if said["kind"] == "ints":
                    assert data.dtype.kind in "iO"
                else:
                    assert data.dtype.kind in KINDS[said["kind"]]
                if "ndim" in said:
                    assert data.ndim == said["ndim"]
                if "words" in said and data.dtype.kind == "O":
                    assert data[()].decode() in said["words"]
                if "low" in said and data.dtype.kind in "if":
                    assert np.min(data[()]) >= said["low"]
                looked += 1
    assert looked > 0


def test_the_hexdump_is_that_of_the_file():
    """Each line stands at its address, and what it says of a dataset is what h5py reads."""
    script = runpy.run_path(str(ROOT / "docs" / "draw_hexdump.py"))
    dump, drawn = script["section"](), script["FILE"]
    page = (ROOT / "docs" / "file-format.md").read_text()
    assert dump in page, "run python docs/draw_hexdump.py"
    data = drawn.read_bytes()
    lines = re.findall(r"^([0-9a-f]{6})  ((?:[0-9a-f]{2} ?)+)", dump, re.MULTILINE)
    assert len(lines) > 20
    for address, shown in lines:
        part = bytes.fromhex(shown)
        at = int(address, 16)
        assert data[at : at + len(part)] == part
    with h5py.File(drawn) as file:
        weight = file["graph/nodes/node/weight"]
        assert f"its numbers: {', '.join(map(repr, weight[0, :3].tolist()))}" in page
        assert f"bytes at {weight.id.get_offset():#x}" in page
        assert f": {file['checksums/xxh3_64'][0]}" in page
